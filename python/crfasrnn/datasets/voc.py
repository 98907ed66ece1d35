"""PASCAL VOC 2007 to 2012 as its development kits hold it: lists, JPEG photographs, palette PNGs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe.errors import FileError
from crfasrnn.classes import VOC_CLASSES
from crfasrnn.datasets.example import Dataset, Example
from crfasrnn.datasets.lists import check_inside, read_lines, read_names
from crfasrnn.pictures.label_maps import read_labels

MASKS = "SegmentationClass"


def voc(root: str | os.PathLike[str], lists: Sequence[str], masks: str = MASKS) -> Dataset:
    """The images of some lists of ImageSets/Segmentation below `root` (the folder VOC2012), in the lists' order.

    lists: their names, or files elsewhere, called .txt, that hold names.
    masks: the folder of the label maps; "SegmentationClassAug" is what VOC and SBD merged are usually called. The lists
        that go round with it hold two paths a line, "/JPEGImages/x.jpg /SegmentationClassAug/x.png"; these are read too.
    Raises CaffeError if a list is missing or bad. Whether the files exist is for Dataset.require_files to say.
    """
    folder = Path(root)
    examples: dict[str, Example] = {}
    paths = [_list_path(folder, name) for name in lists]
    for path in paths:
        for example in _examples(folder, path, masks):
            examples.setdefault(example.name, example)
    titles = ", ".join(repr(str(path)) for path in paths)
    return Dataset(f"list {titles}", tuple(examples.values()), VOC_CLASSES).strict()


def voc_list(root: str | os.PathLike[str], name: str) -> list[Example]:
    """The examples of ImageSets/Segmentation/<name>.txt below `root` (the folder VOC2012), in the list's order.

    Raises CaffeError if the list or a file that it names is missing, before any image is read.
    """
    return list(voc(root, [name]).require_files())


def _list_path(root: Path, name: str) -> Path:
    lists = root / "ImageSets" / "Segmentation"
    path = Path(name) if name.endswith(".txt") else lists / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in lists.glob("*.txt")))
        hint = f"; lists there: {known}" if known else f" (it should hold ImageSets, JPEGImages and {MASKS})"
        raise FileError(f"no list {name!r} in VOC folder {str(root)!r}{hint}")
    return path


def _examples(root: Path, path: Path, masks: str) -> list[Example]:
    if any(len(line.split()) == 2 for line in read_lines(path)[:1]):
        return [_from_pair(root, path, line) for line in read_lines(path)]
    return [
        Example(name, root / "JPEGImages" / f"{name}.jpg", root / masks / f"{name}.png", _labels)
        for name in read_names(path)
    ]


def _from_pair(root: Path, path: Path, line: str) -> Example:
    parts = [part.lstrip("/") for part in line.split()]
    if len(parts) != 2:
        raise FileError(f"list {str(path)!r}: expected the paths of an image and a label map, found {line!r}")
    for part in parts:
        check_inside(part, f"list {str(path)!r}")
    return Example(Path(parts[0]).stem, root / parts[0], root / parts[1], _labels)


def _labels(path: Path) -> np.ndarray:
    return read_labels(path, range(len(VOC_CLASSES)))
