"""Scoring labels on a labelled data set, at the images' original size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caffe.errors import CaffeError
from caffe.logs.progress_bar import progress
from crfasrnn.classes import Classes
from crfasrnn.datasets import Dataset
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions
from crfasrnn.evaluation.labellers import Labeller
from crfasrnn.evaluation.scores import Scores


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

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from crfasrnn.classes import Classes
    >>> from crfasrnn.datasets import Dataset, Example
    >>> from crfasrnn.evaluation.evaluate import evaluate
    >>> from crfasrnn.pictures.label_maps import write_labels
    >>> write_labels("a.png", np.uint8([[0, 0, 1, 255]]))
    >>> dataset = Dataset("one image", (Example("a", Path("a.jpg"), Path("a.png")),))
    >>> scores = evaluate(lambda example: np.uint8([[0, 1, 1, 1]]), dataset, Classes(("background", "cat"), (0, 8)))
    >>> scores.confusion
    array([[1, 1],
           [0, 1]])
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
            differ = truth.shape != labels.shape
            remark = example.exif_remark() if differ else example.label_remark(truth, count)
            raise CaffeError(f"{example.name}: {problem}{remark}") from problem
    names = tuple(example.name for example in dataset)
    return Scores(
        classes,
        confusions.sum(0, dtype=np.int64),
        len(dataset),
        ImageConfusions(names, classes.names, confusions),
        bands,
        metrics.known_mean(np.array(measures)) if boundary else None,
    )
