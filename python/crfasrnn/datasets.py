"""PASCAL VOC on disk: the images of a list with their label maps, and the choice of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError

from .images import read_image
from .palette import VOID, read_labels


@dataclass(frozen=True)
class Example:
    """One photograph of a data set and where its label map lies."""

    name: str
    image_path: Path
    label_path: Path

    def image(self) -> np.ndarray:
        """The photograph, H x W x 3 uint8, BGR, as stored (not turned by EXIF data, as the labels are not)."""
        return read_image(self.image_path, upright=False)

    def labels(self) -> np.ndarray:
        """The label map, H x W uint8, with the data set's own numbers."""
        return read_labels(self.label_path)


def voc_list(root: str | os.PathLike[str], name: str) -> list[Example]:
    """The examples of ImageSets/Segmentation/<name>.txt below `root` (the folder VOC2012), in the list's order.

    Raises CaffeError if the list or a file that it names is missing, before any image is read.
    """
    folder = Path(root)
    lists = folder / "ImageSets" / "Segmentation"
    path = lists / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in lists.glob("*.txt")))
        hint = f"; lists there: {known}" if known else " (it should hold ImageSets, JPEGImages and SegmentationClass)"
        raise CaffeError(f"no list {name!r} in VOC folder {str(folder)!r}{hint}")
    examples = [
        Example(stem, folder / "JPEGImages" / f"{stem}.jpg", folder / "SegmentationClass" / f"{stem}.png")
        for stem in path.read_text(encoding="utf-8").split()
    ]
    if not examples:
        raise CaffeError(f"list {str(path)!r} is empty")
    for example in examples:
        for file in (example.image_path, example.label_path):
            if not file.is_file():
                raise CaffeError(f"list {str(path)!r} names {example.name!r}, but {str(file)!r} is missing")
    return examples


def select_classes(labels: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """Labels with class_ids[i] renumbered to i and everything else to 255; uint8 of the same shape."""
    table = np.full(256, VOID, np.uint8)
    table[list(class_ids)] = np.arange(len(class_ids), dtype=np.uint8)
    return table[labels]
