"""What gives labels to the images of a data set: a model, or files of somebody's; and what the labels stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from crfasrnn.classes import VOC_CLASSES, Classes, unnamed_classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.segmentation.segmenter import Segmenter

Labeller = Callable[[Example], np.ndarray]  # H x W uint8


def model_labels(segmenter: Segmenter) -> Labeller:
    """The labels that a model gives to a photograph."""
    return _Model(segmenter)


@dataclass(frozen=True)
class _Model:
    """A class, since other processes are sent it."""

    segmenter: Segmenter

    def __call__(self, example: Example) -> np.ndarray:
        return self.segmenter.segment(example.image()).labels


def saved_labels(folder: Path, classes: Classes) -> Labeller:
    """The labels in `folder`/<name>.png, or <name>_labels.png as `crfasrnn segment` writes them.

    classes: what they are to stand for; if they are VOC's, and a file's palette has VOC's colours, these must agree.
    """
    class_ids = [VOC_CLASSES.index(name) for name in classes.names if name in VOC_CLASSES]
    if not folder.is_dir():
        raise FileError(f"no folder of predictions {str(folder)!r}")
    return _Saved(folder, tuple(class_ids) if len(class_ids) == len(classes) else None)


@dataclass(frozen=True)
class _Saved:
    """As _Model. class_ids: of VOC's classes, for read_labels."""

    folder: Path
    class_ids: tuple[int, ...] | None

    def __call__(self, example: Example) -> np.ndarray:
        for path in (self.folder / f"{example.name}.png", self.folder / f"{example.name}_labels.png"):
            if path.is_file():
                return read_labels(path, self.class_ids)
        raise FileError(f"{example.name}: no prediction in {str(self.folder)!r} ({example.name}.png)")


def saved_classes(dataset: Dataset, class_ids: Sequence[int] | None) -> Classes:
    """What saved labels stand for: the data set's classes, of which `class_ids` were chosen (None: all).

    Raises CaffeError if the data set does not tell how many there are.
    """
    if not dataset.names and class_ids is None:
        raise CaffeError("the data set does not tell its number of classes: give --names FILE or --classes")
    ids = tuple(range(len(dataset.names)) if class_ids is None else class_ids)
    unnamed = unnamed_classes(len(ids))
    return unnamed if dataset.names in ((), unnamed.names) else Classes(dataset.names, ids)


def for_model(dataset: Dataset, classes: Classes) -> Dataset:
    """The data set with the model's labels: a model of some of VOC's classes finds them in one with all of them.

    Raises CaffeError if the number of classes is not the model's, or the same classes stand in another order.
    """
    if dataset.names == VOC_CLASSES and classes.voc_ids != tuple(range(len(VOC_CLASSES))):
        dataset = dataset.select(classes.voc_ids)
    if dataset.names and len(dataset.names) != len(classes):
        raise CaffeError(
            f"the model has {len(classes)} classes ({', '.join(classes.names)}), the data set {len(dataset.names)} "
            "(choose with --classes)"
        )
    if dataset.names != classes.names and sorted(dataset.names) == sorted(classes.names):
        raise CaffeError(
            f"the data set's classes are the model's in another order ({', '.join(dataset.names)}; the model's: "
            f"{', '.join(classes.names)}): put them in that order with --classes"
        )
    return dataset


def numbers_note(dataset: Dataset, classes: Classes) -> str | None:
    """A sentence where nobody said that the masks' numbers are the classes that a model has names for; or None."""
    if dataset.names or classes.names == unnamed_classes(len(classes)).names:
        return None
    last = len(classes) - 1
    return (
        f"the masks' numbers were taken for the model's classes, 0 ({classes.names[0]}) to {last} ({classes.names[last]}): "
        "--names FILE says what they are"
    )
