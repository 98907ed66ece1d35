"""Scoring a model, or saved labels, on a labelled data set, at the images' original size."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from caffe.files import atomic_path
from caffe.logs.progress_bar import progress
from crfasrnn.classes import VOC_CLASSES, Classes, numbered_classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.segmentation.segmenter import Segmenter

Labeller = Callable[[Example], np.ndarray]

_SHOWN_WIDTHS = (1, 2, 4, 8, 12, 16, 20, 30, 40)


@dataclass(frozen=True)
class Scores:
    """What was counted over `images` photographs.

    confusion: C x C, rows true.
    per_image: the same for each image.
    trimap: 40 x C x C, entry w - 1 for the band of w pixels around void; None if not asked for.
    boundary: the boundary F measure of each class, mean over the images where it occurs (C float64, NaN where it never
        does); None if not asked for.
    """

    classes: Classes
    confusion: np.ndarray
    images: int
    per_image: ImageConfusions | None = None
    trimap: np.ndarray | None = None
    boundary: np.ndarray | None = None


def model_labels(segmenter: Segmenter) -> Labeller:
    """The labels that a model gives to a photograph."""
    return lambda example: segmenter.segment(example.image()).labels


def saved_labels(folder: Path) -> Labeller:
    """The labels in `folder`/<name>.png, or <name>_labels.png as `crfasrnn segment` writes them."""
    if not folder.is_dir():
        raise CaffeError(f"no folder of predictions {str(folder)!r}")

    def read(example: Example) -> np.ndarray:
        for path in (folder / f"{example.name}.png", folder / f"{example.name}_labels.png"):
            if path.is_file():
                return read_labels(path)
        raise CaffeError(f"{example.name}: no prediction in {str(folder)!r} ({example.name}.png)")

    return read


def saved_classes(dataset: Dataset, class_ids: Sequence[int] | None) -> Classes:
    """What saved labels stand for: the data set's classes, of which `class_ids` were chosen (None: all).

    Raises CaffeError if the data set does not tell how many there are.
    """
    if not dataset.names and class_ids is None:
        raise CaffeError("the data set does not tell its number of classes: give --names FILE or --classes")
    ids = tuple(range(len(dataset.names)) if class_ids is None else class_ids)
    return Classes(dataset.names, ids) if dataset.names else numbered_classes(len(ids))


def for_model(dataset: Dataset, classes: Classes) -> Dataset:
    """The data set with the model's labels: a model of some of VOC's classes finds them in one with all of them.

    Raises CaffeError if the number of classes is not the model's.
    """
    if dataset.names == VOC_CLASSES and classes.voc_ids != tuple(range(len(VOC_CLASSES))):
        dataset = dataset.select(classes.voc_ids)
    if dataset.names and len(dataset.names) != len(classes):
        raise CaffeError(
            f"the model has {len(classes)} classes ({', '.join(classes.names)}), the data set {len(dataset.names)} "
            "(choose with --classes)"
        )
    return dataset


def evaluate(
    label: Labeller,
    dataset: Dataset,
    classes: Classes,
    *,
    trimap: bool = False,
    boundary: bool = False,
    keep: Callable[[str, np.ndarray], None] | None = None,
) -> Scores:
    """Label every example and count; void is left out.

    trimap, boundary: also count around borders. keep: is given every image's name and labels (H x W uint8).
    Raises CaffeError if an image cannot be read, or labels do not fit the truth in size or number.
    """
    count = len(classes)
    confusions = np.zeros((len(dataset), count, count), np.int32)
    bands = trimap_confusions(np.zeros((1, 1)), np.zeros((1, 1)), count) if trimap else None
    measures = []
    for index, example in enumerate(progress(dataset, what="evaluate", unit="image")):
        truth, labels = example.labels(), label(example)
        if keep is not None:
            keep(example.name, labels)
        try:
            confusions[index] = metrics.confusion_matrix(truth, labels, count)
            if bands is not None:
                bands += trimap_confusions(truth, labels, count)
            if boundary:
                measures.append(boundary_f(truth, labels, count))
        except ValueError as problem:
            raise CaffeError(f"{example.name}: {problem}") from problem
    names = tuple(example.name for example in dataset)
    return Scores(
        classes,
        confusions.sum(0, dtype=np.int64),
        len(dataset),
        ImageConfusions(names, classes.names, confusions),
        bands,
        metrics.known_mean(np.array(measures)) if boundary else None,
    )


def report(scores: Scores) -> str:
    """A table of every class's IU and accuracy and of the means, in per cent; then what was counted around borders."""
    confusion = scores.confusion
    width = max(len(name) for name in (*scores.classes.names, "frequency-weighted IU"))
    columns = {"IU %": metrics.per_class_iu(confusion), "acc %": metrics.per_class_accuracy(confusion)}
    if scores.boundary is not None:
        columns["BF %"] = scores.boundary
    rows = [
        f"{name:<{width}}" + "".join(f"  {100 * value:5.1f}" for value in values)
        for name, *values in zip(scores.classes.names, *columns.values())
    ]
    totals = [f"{name:<{width}}  {100 * value:5.1f}" for name, value in _means(scores).items()]
    head = f"{'class':<{width}}" + "".join(f"  {title:>5}" for title in columns)
    lines = [head, *rows, "", *totals, f"{'images':<{width}}  {scores.images:5d}"]
    if scores.trimap is not None:
        lines += ["", *_trimap_lines(scores.trimap, width)]
    return "\n".join(lines)


def _means(scores: Scores) -> dict[str, float]:
    confusion = scores.confusion
    means = {
        "mean IU": metrics.mean_iu(confusion),
        "frequency-weighted IU": metrics.frequency_weighted_iu(confusion),
        "mean accuracy": metrics.mean_accuracy(confusion),
        "pixel accuracy": metrics.pixel_accuracy(confusion),
    }
    if scores.boundary is not None:
        means["mean boundary F"] = float(metrics.known_mean(scores.boundary))
    return means


def _trimap_lines(trimap: np.ndarray, width: int) -> list[str]:
    if not trimap.any():
        return ["no void in these label maps, so no bands around it"]
    head = f"{'pixels from void':<{width}}  {'IU %':>5}  {'acc %':>5}"
    return [head] + [
        f"{size:<{width}}  {100 * metrics.mean_iu(band):5.1f}  {100 * metrics.pixel_accuracy(band):5.1f}"
        for size, band in ((size, trimap[size - 1]) for size in _SHOWN_WIDTHS)
    ]


def write_json(path: str | os.PathLike[str], scores: Scores) -> None:
    """Write the scores (fractions, null where a class does not occur) and the confusion matrix as JSON."""
    confusion = scores.confusion

    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    content: dict[str, Any] = {
        "images": scores.images,
        "classes": list(scores.classes.names),
        "per_class_iu": [known(value) for value in metrics.per_class_iu(confusion)],
        "per_class_accuracy": [known(value) for value in metrics.per_class_accuracy(confusion)],
        **{name.replace(" ", "_").replace("-", "_").lower(): known(value) for name, value in _means(scores).items()},
        "confusion": confusion.tolist(),
    }
    if scores.boundary is not None:
        content["per_class_boundary_f"] = [known(value) for value in scores.boundary]
    if scores.trimap is not None:
        content["trimap_mean_iu"] = [known(metrics.mean_iu(band)) for band in scores.trimap]
        content["trimap_pixel_accuracy"] = [known(metrics.pixel_accuracy(band)) for band in scores.trimap]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
