"""Scoring a model on a labelled list of images, at their original size."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from caffe.errors import CaffeError
from caffe.files import atomic_path

from . import metrics
from .datasets import Example, select_classes
from .resources import Classes
from .segmenter import Segmenter


@dataclass(frozen=True)
class Scores:
    """The confusion matrix (C x C, rows true) over `images` photographs."""

    classes: Classes
    confusion: np.ndarray
    images: int


def evaluate(segmenter: Segmenter, examples: Sequence[Example], class_ids: Sequence[int] | None = None) -> Scores:
    """Segment every example and count; labels that are none of `class_ids` (the model's own if None) are void.

    Raises CaffeError if the number of classes is not the model's or a label map does not fit its photograph.
    """
    ids = segmenter.classes.voc_ids if class_ids is None else tuple(class_ids)
    count = len(segmenter.classes)
    if len(ids) != count:
        raise CaffeError(
            f"the model has {count} classes ({', '.join(segmenter.classes.names)}), --classes names {len(ids)}"
        )
    confusion = np.zeros((count, count), np.int64)
    for example in tqdm(examples, desc="evaluate", unit="image"):
        truth = select_classes(example.labels(), ids)
        labels = segmenter.segment(example.image()).labels
        try:
            confusion += metrics.confusion_matrix(truth, labels, count)
        except ValueError as problem:
            raise CaffeError(f"{example.name}: {problem}") from problem
    return Scores(segmenter.classes, confusion, len(examples))


def report(scores: Scores) -> str:
    """A table of every class's IU and accuracy and of the means, in per cent."""
    confusion = scores.confusion
    width = max(len(name) for name in (*scores.classes.names, "frequency-weighted IU"))
    rows = [
        f"{name:<{width}}  {100 * iu:5.1f}  {100 * accuracy:5.1f}"
        for name, iu, accuracy in zip(
            scores.classes.names, metrics.per_class_iu(confusion), metrics.per_class_accuracy(confusion)
        )
    ]
    means = {
        "mean IU": metrics.mean_iu(confusion),
        "frequency-weighted IU": metrics.frequency_weighted_iu(confusion),
        "mean accuracy": metrics.mean_accuracy(confusion),
        "pixel accuracy": metrics.pixel_accuracy(confusion),
    }
    totals = [f"{name:<{width}}  {100 * value:5.1f}" for name, value in means.items()]
    head = f"{'class':<{width}}  {'IU %':>5}  {'acc %':>5}"
    return "\n".join([head, *rows, "", *totals, f"{'images':<{width}}  {scores.images:5d}"])


def write_json(path: str | os.PathLike[str], scores: Scores) -> None:
    """Write the scores (fractions, null where a class does not occur) and the confusion matrix as JSON."""
    confusion = scores.confusion

    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    content = {
        "images": scores.images,
        "classes": list(scores.classes.names),
        "per_class_iu": [known(value) for value in metrics.per_class_iu(confusion)],
        "per_class_accuracy": [known(value) for value in metrics.per_class_accuracy(confusion)],
        "mean_iu": known(metrics.mean_iu(confusion)),
        "frequency_weighted_iu": known(metrics.frequency_weighted_iu(confusion)),
        "mean_accuracy": known(metrics.mean_accuracy(confusion)),
        "pixel_accuracy": known(metrics.pixel_accuracy(confusion)),
        "confusion": confusion.tolist(),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
