"""What was counted over a data set, as a table and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe.files import atomic_path
from crfasrnn.classes import Classes
from crfasrnn.datasets.check import OBJECT_IS_VOID
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions

_SHOWN_WIDTHS = (1, 2, 4, 8, 12, 16, 20, 30, 40)


@dataclass(frozen=True)
class Scores:
    """What was counted over `images` photographs.

    confusion: C x C, rows true.
    per_image: the same for each image.
    trimap: 40 x C x C, entry w - 1 for the band of w pixels around void; None if not asked for.
    boundary: the boundary F measure of each class, mean over the images where it occurs (C float64, NaN where it never
        does); None if not asked for.
    over: numbers of the classes whose mean IU is wanted, too, and in the bands alone; None if not asked for.
    void: pixels of the truth that count nowhere.
    """

    classes: Classes
    confusion: np.ndarray
    images: int
    per_image: ImageConfusions | None = None
    trimap: np.ndarray | None = None
    boundary: np.ndarray | None = None
    over: tuple[int, ...] | None = None
    void: int = 0


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
        lines += ["", *_trimap_lines(scores.trimap, width, scores.over)]
    return "\n".join(lines)


def _means(scores: Scores) -> dict[str, float]:
    confusion = scores.confusion
    means = {
        "mean IU": metrics.mean_iu(confusion),
        "frequency-weighted IU": metrics.frequency_weighted_iu(confusion),
        "mean accuracy": metrics.mean_accuracy(confusion),
        "pixel accuracy": metrics.pixel_accuracy(confusion),
    }
    if scores.over is not None:
        means[f"mean IU of {len(scores.over)}"] = metrics.mean_iu(confusion, scores.over)
    if scores.boundary is not None:
        means["mean boundary F"] = float(metrics.known_mean(scores.boundary))
    return means


def _trimap_lines(trimap: np.ndarray, width: int, over: Sequence[int] | None) -> list[str]:
    if not trimap.any():
        return ["no void in these label maps, so no bands around it"]
    head = f"{'pixels from void':<{width}}  {'IU %':>5}  {'acc %':>5}"
    return [head] + [
        f"{size:<{width}}  {100 * metrics.mean_iu(band, over):5.1f}  {100 * metrics.pixel_accuracy(band):5.1f}"
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
        content["trimap_mean_iu"] = [known(metrics.mean_iu(band, scores.over)) for band in scores.trimap]
        content["trimap_pixel_accuracy"] = [known(metrics.pixel_accuracy(band)) for band in scores.trimap]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def unused_classes_note(scores: Scores) -> str | None:
    """A sentence if the truth goes on above the highest label that was given, as it does for labels of fewer classes; or None."""
    true, given = (np.flatnonzero(scores.confusion.sum(axis)) for axis in (1, 0))
    if not true.size or not given.size or given[-1] >= true[-1]:
        return None
    return (
        f"no label above {given[-1]} was given, while the truth goes to {true[-1]} ({scores.classes.names[true[-1]]}): if the "
        "labels are those of fewer classes, name these by --classes"
    )


def void_note(scores: Scores) -> str | None:
    """A sentence if the truth is label 0 alone beside void, of which any labels are right; or None."""
    return OBJECT_IS_VOID if scores.void and not scores.confusion[1:].any() else None
