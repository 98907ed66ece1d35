"""Any folder of photographs beside a folder of masks: index or palette PNGs of the same names (ADE20K's layout, too)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from caffe.errors import CaffeError, FileError
from caffe.logs.wording import counted
from crfasrnn.classes import VOID, numbers_of, read_classes
from crfasrnn.datasets.example import Dataset, Example
from crfasrnn.datasets.lists import read_names
from crfasrnn.pictures.photographs import SUFFIXES, photographs_in


def folder(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    lists: Sequence[str | os.PathLike[str]] = (),
    names: str | os.PathLike[str] | None = None,
    void: int = VOID,
) -> Dataset:
    """The photographs of a folder, sorted by name; the mask of x.jpg is x.png in `masks`.

    lists: text files with the names (x) of the images that are meant, one a line; none means all.
    names: file with the name of every label, in order (see classes.read_classes); labels without a name are then errors.
    void: a label that counts nowhere, beside 255; if it is the last that has a name, the name goes.
    Raises CaffeError if a folder or list is missing, empty or ambiguous.
    """
    photographs, labels = Path(images), Path(masks)
    for path, what in ((photographs, "images"), (labels, "masks")):
        if not path.is_dir():
            raise FileError(f"no folder of {what} {str(path)!r}")
    files: dict[str, Path] = {}
    for path in photographs_in(photographs):
        if path.stem in files:
            raise CaffeError(f"{str(files[path.stem])!r} and {str(path)!r} would share one mask")
        files[path.stem] = path
    if not files:
        raise FileError(f"no images in {str(photographs)!r} (known are {' '.join(SUFFIXES)})")
    stems = [stem for path in lists for stem in read_names(Path(path))] if lists else list(files)
    examples = tuple(
        Example(stem, files.get(stem, photographs / f"{stem}.jpg"), _mask(labels, stem), own_void=True)
        for stem in dict.fromkeys(stems)
    )
    title = f"list {', '.join(repr(str(path)) for path in lists)}" if lists else f"folder {str(photographs)!r}"
    dataset = Dataset(title, examples, () if names is None else _class_names(Path(names)))
    dataset = dataset if void == VOID else dataset.with_void(void)
    return dataset.strict() if names is not None else dataset


def _mask(labels: Path, stem: str) -> Path:
    """Where the mask is, or should be; some programs write the suffix in capitals."""
    capitals = labels / f"{stem}.PNG"
    return capitals if capitals.is_file() else labels / f"{stem}.png"


def split(names: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """The names in two lists, each sorted: the second holds `share` of them (at least one), drawn by the seed.

    Raises CaffeError if one of the lists would be empty.
    """
    count = max(1, round(share * len(names))) if 0 < share < 1 else 0
    if not 0 < count < len(names):
        raise CaffeError(
            f"{counted(len(names), 'image')} cannot be split into two lists with a share of {share:g} for the second"
        )
    drawn = set(random.Random(seed).sample(sorted(names), count))
    return sorted(set(names) - drawn), sorted(drawn)


def _class_names(path: Path) -> tuple[str, ...]:
    """The names of the labels 0, 1, ...; the numbers before them must be these, or VOC's as write_classes has them."""
    classes = read_classes(path)
    if classes.voc_ids not in (tuple(range(len(classes))), numbers_of(classes.names)):
        raise FileError(f"{str(path)!r}: the numbers before the names are not 0, 1, 2, ... in order")
    return classes.names
