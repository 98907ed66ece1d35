"""Segmentation scores as pure functions of a confusion matrix (Long et al. 2015, section 5).

A confusion matrix is C x C int64: entry (i, j) counts the pixels of true class i that were labelled j. A class that does not
occur, neither true nor labelled, has no score: its entry is NaN and it does not count in any mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe.inputs.arguments import array, integer
from crfasrnn.classes import VOID

_MOST_CLASSES = 1 << 12  # a matrix of 128 MiB


def confusion_matrix(truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pairs of true and given labels over all pixels whose truth is not 255.

    truth, labels: integers of one shape. Raises ValueError if the shapes differ or a label is not one of 0 .. num_classes-1.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.metrics import confusion_matrix
    >>> confusion_matrix(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), num_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    truth, labels = array("truth", truth, None), array("labels", labels, None)
    num_classes = integer("num_classes", num_classes, 1, _MOST_CLASSES)
    if truth.shape != labels.shape:
        raise ValueError(f"truth has shape {truth.shape}, labels {labels.shape}")
    counted = truth != VOID
    true, given = truth[counted].astype(np.int64), labels[counted].astype(np.int64)
    for name, values in (("true", true), ("given", given)):
        if values.size and (values.min() < 0 or values.max() >= num_classes):
            wrong = values[(values < 0) | (values >= num_classes)][0]
            void = f" nor {VOID}" if name == "true" else ""
            raise ValueError(f"{name} label {wrong} is not one of the {num_classes} classes{void}")
    counts = np.bincount(num_classes * true + given, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _checked(confusion: np.ndarray) -> np.ndarray:
    found = array("confusion", confusion, None)
    if found.ndim != 2 or len(found) != found.shape[1]:
        raise ValueError(f"confusion must be a matrix C x C, not of shape {found.shape}")
    return found


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def per_class_iu(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union, n_ii / (t_i + sum_j n_ji - n_ii), of every class: C float64.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.metrics import per_class_iu
    >>> per_class_iu(np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0]]))
    array([0.75, 0.5 ,  nan])
    """
    confusion = _checked(confusion)
    right = np.diag(confusion)
    return _ratio(right, confusion.sum(1) + confusion.sum(0) - right)


def mean_iu(confusion: np.ndarray, over: Sequence[int] | None = None) -> float:
    """Mean of per_class_iu, over all classes or over those of these numbers; the others' pixels count as ever.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.metrics import mean_iu
    >>> mean_iu(np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0]]))
    0.625
    >>> mean_iu(np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0]]), over=[0, 2])
    0.75
    """
    found = per_class_iu(confusion)
    return float(known_mean(found if over is None else found[list(over)]))


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Fraction of the pixels labelled correctly, sum n_ii / sum t_i.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.metrics import pixel_accuracy
    >>> pixel_accuracy(np.array([[3, 1], [0, 1]]))
    0.8
    """
    confusion = _checked(confusion)
    return float(_ratio(np.trace(confusion), confusion.sum()))


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Fraction of each class's pixels labelled correctly, n_ii / t_i; NaN for a class without true pixels."""
    confusion = _checked(confusion)
    return _ratio(np.diag(confusion), confusion.sum(1))


def mean_accuracy(confusion: np.ndarray) -> float:
    """Mean of per_class_accuracy."""
    return float(known_mean(per_class_accuracy(confusion)))


def frequency_weighted_iu(confusion: np.ndarray) -> float:
    """Mean of per_class_iu weighted by each class's true pixels."""
    confusion = _checked(confusion)
    frequency = _ratio(confusion.sum(1), np.broadcast_to(confusion.sum(), len(confusion)))
    occurs = frequency > 0
    return float((frequency * per_class_iu(confusion))[occurs].sum()) if occurs.any() else float("nan")


def known_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the values that are not NaN; NaN where none is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(0), known.sum(0))
