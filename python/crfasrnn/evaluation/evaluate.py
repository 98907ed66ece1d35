"""Scoring labels on a labelled data set, at the images' original size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.classes import VOID, Classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions
from crfasrnn.evaluation.labellers import Labeller
from crfasrnn.evaluation.scores import Scores
from crfasrnn.many import Failure, each


def evaluate(
    label: Labeller,
    dataset: Dataset,
    classes: Classes,
    *,
    trimap: bool = False,
    boundary: bool = False,
    keep: Callable[[str, np.ndarray], None] | None = None,
    processes: int | None = 1,
    failures: list[Failure] | None = None,
) -> Scores:
    """Label every example and count; void is left out.

    trimap, boundary: also count around borders. keep: is given every image's name and labels (H x W uint8), in order.
    processes: to share the examples among, to which `label` and the data set are sent; None takes crfasrnn.many.best_number.
    failures: takes what cannot be read or does not fit the truth in size or number, and the rest is scored; None raises
    CaffeError for the first.

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
    names: list[str] = []
    confusions: list[np.ndarray] = []
    measures: list[np.ndarray] = []
    void = 0
    bands = trimap_confusions(np.zeros((1, 1)), np.zeros((1, 1)), count) if trimap else None
    work = _Counting(label, count, trimap, boundary, keep is not None)
    with closing(each(work, list(dataset), processes, what="evaluate")) as results:
        for example, counts in results:
            if isinstance(counts, Failure):
                if failures is None:
                    raise CaffeError(counts.reason)
                failures.append(counts)
                continue
            names.append(example.name)
            confusions.append(counts.confusion)
            void += counts.void
            if keep is not None and counts.labels is not None:
                keep(example.name, counts.labels)
            if bands is not None and counts.bands is not None:
                bands += counts.bands
            if counts.boundary is not None:
                measures.append(counts.boundary)
    matrices = np.array(confusions, np.int32).reshape(-1, count, count)
    return Scores(
        classes,
        matrices.sum(0, dtype=np.int64),
        len(names),
        ImageConfusions(tuple(names), classes.names, matrices),
        bands,
        metrics.known_mean(np.array(measures)) if measures else None,
        void=void,
    )


@dataclass(frozen=True)
class _Counts:
    """What one image gives: its labels if they are wanted, a confusion matrix, void pixels, what was asked for around borders."""

    labels: np.ndarray | None
    confusion: np.ndarray
    void: int
    bands: np.ndarray | None
    boundary: np.ndarray | None


@dataclass(frozen=True)
class _Counting:
    """What is done with every example, for so many classes."""

    label: Labeller
    classes: int
    trimap: bool
    boundary: bool
    labels_wanted: bool

    def __call__(self, example: Example) -> _Counts:
        truth, labels = example.labels(), self.label(example)
        try:
            return _Counts(
                labels if self.labels_wanted else None,
                metrics.confusion_matrix(truth, labels, self.classes).astype(np.int32),
                int(np.count_nonzero(truth == VOID)),
                trimap_confusions(truth, labels, self.classes) if self.trimap else None,
                boundary_f(truth, labels, self.classes) if self.boundary else None,
            )
        except ValueError as problem:
            differ = truth.shape != labels.shape
            remark = example.exif_remark() if differ else example.label_remark(truth, self.classes)
            raise CaffeError(f"{example.name}: {problem}{remark}") from problem
