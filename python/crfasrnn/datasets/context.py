"""Pascal Context (Mottaghi et al. 2014): VOC 2010's photographs with everything in them labelled; its 59-class task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from caffe.errors import FileError
from crfasrnn.classes import VOID
from crfasrnn.datasets.example import Dataset, Example
from crfasrnn.datasets.lists import read_lines, read_names
from crfasrnn.datasets.matfile import read_label_map

# The data set's two lists call three classes differently: name among the 59, name among all labels.
_OTHER_NAMES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def pascal_context(root: str | os.PathLike[str], voc_root: str | os.PathLike[str], lists: Sequence[str]) -> Dataset:
    """The images of some lists of ImageSets/Main below `voc_root` (the folder VOC2010): train (4,998) and val (5,105).

    root: the folder with trainval/*.mat, labels.txt and 59_labels.txt, from which the classes are taken: label i is line i of
        59_labels.txt, 0 (background) everything else.
    Raises CaffeError if a list is missing or bad.
    """
    folder, photographs = Path(root), Path(voc_root)
    names, table = _task(folder)
    examples: dict[str, Example] = {}
    paths = [photographs / "ImageSets" / "Main" / f"{name}.txt" for name in lists]
    for path in paths:
        for name in read_names(path):
            image, labels = photographs / "JPEGImages" / f"{name}.jpg", folder / "trainval" / f"{name}.mat"
            examples.setdefault(name, Example(name, image, labels, partial(read_context_labels, table)))
    return Dataset(f"list {', '.join(repr(str(path)) for path in paths)}", tuple(examples.values()), names)


def read_context_labels(table: np.ndarray, path: Path) -> np.ndarray:
    """The variable LabelMap of a .mat, H x W, each value v replaced by table[v] (uint8). Raises CaffeError if it cannot."""
    labels: np.ndarray = table[read_label_map(path, "LabelMap", len(table) - 1)]
    return labels


def _task(root: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the task's labels, and for every stored value its label."""
    all_labels, task = _numbered(root / "labels.txt"), _numbered(root / "59_labels.txt")
    if len(task) >= VOID:
        raise FileError(f"{str(root / '59_labels.txt')!r} has {len(task)} classes; at most {VOID - 1} are possible")
    numbers = {name: number for number, name in all_labels.items()}
    table = np.zeros(max(all_labels) + 1, np.uint8)
    for label, name in enumerate(task.values(), 1):
        stored = name if name in numbers else _OTHER_NAMES.get(name, name)
        if stored not in numbers:
            raise FileError(f"class {name!r} of {str(root / '59_labels.txt')!r} is not in {str(root / 'labels.txt')!r}")
        table[numbers[stored]] = label
    return ("background", *task.values()), table


def _numbered(path: Path) -> dict[int, str]:
    """A file of lines "<number>: <name>", the names without spaces."""
    found: dict[int, str] = {}
    for line in read_lines(path):
        number, _, name = line.partition(":")
        if not (number.strip().isdecimal() and name.strip() and int(number) < 65536):
            raise FileError(f"{str(path)!r}: expected '<number>: <name>', found {line!r}")
        found[int(number)] = name.replace(" ", "")
    if not found:
        raise FileError(f"{str(path)!r} is empty")
    return found
