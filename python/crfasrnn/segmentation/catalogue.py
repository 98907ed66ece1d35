"""What there is to choose from: the models that come with the package, and those that their authors publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crfasrnn.segmentation.models import DEFAULT, PUBLISHED, Published, bundled_facts, model_names, models_folder


@dataclass(frozen=True)
class Entry:
    """A model to choose: what it is (`title`), where it is (`state`), size, checksum, licence and scores (`facts`), a command."""

    name: str
    title: str
    state: str
    facts: tuple[str, ...]
    usage: str

    def text(self) -> str:
        """All of it, in a few lines."""
        return "\n".join(
            [f"{self.name}  ({self.state})", *(f"    {line}" for line in (self.title, *self.facts, self.usage))]
        )


def catalogue() -> Iterator[Entry]:
    """All models, the default one first.

    Raises CaffeError if this installation lacks its models, or one is damaged.
    """
    for name in sorted(model_names(), key=lambda name: (name != DEFAULT, name)):
        yield _bundled(name)
    for model in PUBLISHED.values():
        yield _published(model)


def _bundled(name: str) -> Entry:
    folder, facts = bundled_facts(name)
    weights = folder / facts["weights"]
    return Entry(
        name,
        facts["title"],
        "bundled, the default" if name == DEFAULT else "bundled",
        (
            f"{_megabytes(weights)}; sha256 {_digest('sha256', weights)}",
            f"licence: {facts['licence']}",
            *facts["scores"],
        ),
        f"crfasrnn segment photo.jpg{'' if name == DEFAULT else f' --model {name}'}",
    )


def _published(model: Published) -> Entry:
    here = models_folder() / model.file
    try:
        right = _digest("sha1", here) == model.sha1
        state = f"here: {here}" if right else f"{here} is another file: its sha1 differs"
    except FileNotFoundError:
        state = f"to be downloaded into {models_folder()}"
    except OSError as problem:
        state = f"{here} cannot be read: {problem.strerror}"
    return Entry(
        model.name,
        model.title,
        state,
        (f"{model.file}, {model.size}; sha1 {model.sha1}; {model.address}", f"licence: {model.licence}", *model.scores),
        f"crfasrnn segment photo.jpg --model {model.name} --pad",
    )


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _digest(kind: str, path: Path) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
