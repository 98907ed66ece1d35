"""Where the network definitions and models lie: in the installed package, or two folders up in a source checkout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError
from caffe.files import write_text
from crfasrnn.pictures.label_maps import VOC_CLASSES

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_folder(name: str) -> Path:
    """The folder `prototxt` or `models`; raises CaffeError if this installation has none."""
    for root in (_PACKAGE, _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise CaffeError(f"this installation of crfasrnn has no folder {name!r}; install it again or work in a checkout")


@dataclass(frozen=True)
class Classes:
    """The classes of a model in the order of its channels: names, and VOC's numbers, which give the colours."""

    names: tuple[str, ...]
    voc_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ModelFiles:
    """What a model consists of. `size` is the largest side (pixels) it expects, None for any; `classes` may be unknown."""

    prototxt: Path
    weights: Path
    classes: Classes | None
    size: int | None = None


def read_classes(path: Path) -> Classes:
    """Read a classes.txt: one line `<VOC number> <name>` per channel, in order."""
    names, ids = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        voc_id, _, name = line.strip().partition(" ")
        if not (voc_id.isdecimal() and int(voc_id) < 255 and name.strip()):
            raise CaffeError(f"{path}:{number}: expected '<number below 255> <class name>', found {line!r}")
        ids.append(int(voc_id))
        names.append(name.strip())
    return Classes(tuple(names), tuple(ids))


def write_classes(path: Path, names: Sequence[str]) -> None:
    """Write a classes.txt; the number before a name is VOC's if all names are VOC's, else the channel's."""
    voc = all(name in VOC_CLASSES for name in names)
    lines = [f"{VOC_CLASSES.index(name) if voc else index} {name}\n" for index, name in enumerate(names)]
    write_text(path, "".join(lines))


def numbered_classes(count: int) -> Classes:
    """Names for a net whose classes are not known: VOC's if it has 21, else `class 0`, `class 1`, ..."""
    names = VOC_CLASSES if count == len(VOC_CLASSES) else tuple(f"class {index}" for index in range(count))
    return Classes(names, tuple(range(count)))


def model_names() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in resource_folder("models").glob("*/model.json"))


def find_model(model: str, weights: Path | None = None) -> ModelFiles:
    """The files of a bundled model (by name) or of a deploy prototxt (by path, with `weights`).

    Raises CaffeError if the model is unknown, or a file is missing.
    """
    if Path(model).suffix == ".prototxt" or Path(model).is_file():
        return _from_prototxt(Path(model), weights)
    if model not in model_names():
        known = ", ".join(model_names()) or "none"
        raise CaffeError(f"no model {model!r}: neither a deploy prototxt nor a bundled model (bundled: {known})")
    folder = resource_folder("models") / model
    facts = _read_json(folder / "model.json")
    files = ModelFiles(
        prototxt=resource_folder("prototxt") / facts["deploy"],
        weights=weights or folder / facts["weights"],
        classes=read_classes(folder / "classes.txt"),
        size=facts.get("size"),
    )
    _require(files.prototxt, "network definition")
    _require(files.weights, "weights file")
    return files


def _from_prototxt(prototxt: Path, weights: Path | None) -> ModelFiles:
    _require(prototxt, "network definition")
    if weights is None:
        raise CaffeError(f"the network {str(prototxt)!r} needs weights (--weights FILE)")
    _require(weights, "weights file")
    beside = [folder / "classes.txt" for folder in (weights.parent, prototxt.parent)]
    known = next((read_classes(path) for path in beside if path.is_file()), None)
    return ModelFiles(prototxt, weights, known)


def _require(path: Path, what: str) -> None:
    if not path.is_file():
        raise CaffeError(f"{what} {str(path)!r} not found")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return facts
    except ValueError as problem:
        raise CaffeError(f"{str(path)!r} is no JSON: {problem}") from problem
