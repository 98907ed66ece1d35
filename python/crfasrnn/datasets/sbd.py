"""The Semantic Boundaries Dataset (Hariharan et al. 2011), and the paper's training and validation sets made of it and VOC."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe.errors import FileError
from crfasrnn.classes import VOC_CLASSES
from crfasrnn.datasets.example import Dataset, Example
from crfasrnn.datasets.lists import read_names
from crfasrnn.datasets.matfile import read_label_map
from crfasrnn.datasets.voc import voc


def sbd(root: str | os.PathLike[str], lists: Sequence[str]) -> Dataset:
    """The images of train.txt, val.txt or both below `root` (the folder benchmark_RELEASE/dataset: img, cls and lists).

    The label maps are GTcls.Segmentation of cls/*.mat, with VOC's numbers. They mark no void.
    Raises CaffeError if a list is missing or bad.
    """
    folder = Path(root)
    examples: dict[str, Example] = {}
    for name in lists:
        for example in _examples(folder, name):
            examples.setdefault(example.name, example)
    titles = ", ".join(repr(str(folder / f"{name}.txt")) for name in lists)
    return Dataset(f"list {titles}", tuple(examples.values()), VOC_CLASSES).strict()


def voc_and_sbd(voc_root: str | os.PathLike[str], sbd_root: str | os.PathLike[str], part: str) -> Dataset:
    """The paper's sets (section 7): VOC 2012 and SBD together.

    Args:
        voc_root: folder with ImageSets, JPEGImages and SegmentationClass.
        sbd_root: folder with img, cls and the lists.
        part: "train" for VOC's `train` (1,464 images) with its own, finer masks, then the rest of SBD's train and val (11,355):
            11,685 images, part of VOC's `val` among them; "val" for VOC's `val` (1,449) without the images of SBD, the "reduced
            validation set" of 346.

    Raises:
        CaffeError: `part` is another word, or a list is missing or bad.
    """
    both = sbd(sbd_root, ("train", "val"))
    if part == "val":
        used = {example.name for example in both}
        val = voc(voc_root, ["val"])
        rest = tuple(example for example in val if example.name not in used)
        return Dataset(f"{val.title} without SBD's images", rest, VOC_CLASSES)
    if part == "train":
        train = voc(voc_root, ["train"])
        fine = {example.name for example in train}
        rest = tuple(example for example in both if example.name not in fine)
        return Dataset(f"{train.title} and {both.title}", (*train.examples, *rest), VOC_CLASSES)
    raise FileError(f"of VOC and SBD together there are the lists 'train' and 'val', not {part!r}")


def read_sbd_labels(path: Path) -> np.ndarray:
    """The label map of one .mat of SBD's folder cls, H x W uint8. Raises CaffeError if there is none in it."""
    return read_label_map(path, "GTcls", len(VOC_CLASSES) - 1, field="Segmentation").astype(np.uint8)


def _examples(root: Path, name: str) -> list[Example]:
    path = root / f"{name}.txt"
    if not path.is_file():
        raise FileError(f"no list {path.name!r} in SBD folder {str(root)!r} (it should hold img, cls and train.txt)")
    return [
        Example(stem, root / "img" / f"{stem}.jpg", root / "cls" / f"{stem}.mat", read_sbd_labels)
        for stem in read_names(path)
    ]
