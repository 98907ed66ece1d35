"""How well labels follow the borders of objects: confusion in a band around them (trimap), and the boundary F measure."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt

from caffe.inputs.arguments import array, integer, number
from crfasrnn.classes import VOID
from crfasrnn.evaluation.metrics import confusion_matrix

TRIMAP_WIDTHS = 40
TOLERANCE = 0.0075  # of the image's diagonal (Csurka et al. 2013)


def trimap_confusions(
    truth: np.ndarray, labels: np.ndarray, num_classes: int, widths: int = TRIMAP_WIDTHS
) -> np.ndarray:
    """Confusion matrices of the pixels near the borders that the truth marks void: `widths` x C x C int64.

    Entry w - 1 counts the pixels whose centre is at most w pixels from the nearest void pixel (Kohli et al. 2009;
    Krähenbühl and Koltun 2011, section 6). All are zero where the truth has no void.
    truth, labels: H x W integers, 255 void. Raises ValueError as confusion_matrix does.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.boundaries import trimap_confusions
    >>> truth = np.array([[0, 0, 0, 255, 1, 1, 1]])
    >>> bands = trimap_confusions(truth, np.array([[0, 0, 0, 0, 0, 1, 1]]), num_classes=2, widths=2)
    >>> bands[0].tolist(), bands[1].tolist()
    ([[1, 0], [1, 0]], [[2, 0], [1, 1]])
    """
    truth, labels = array("truth", truth, None), array("labels", labels, None)
    widths = integer("widths", widths, 1)
    confusion_matrix(truth, labels, num_classes)  # for its checks
    void = truth == VOID
    if not void.any():
        return np.zeros((widths, num_classes, num_classes), np.int64)
    rings = np.ceil(distance_transform_edt(~void)).astype(np.int64)
    near = (rings > 0) & (rings <= widths)
    pairs = num_classes * truth[near].astype(np.int64) + labels[near]
    counts = np.bincount(num_classes**2 * (rings[near] - 1) + pairs, minlength=widths * num_classes**2)
    return counts.reshape(widths, num_classes, num_classes).cumsum(0)


def boundary_f(truth: np.ndarray, labels: np.ndarray, num_classes: int, tolerance: float | None = None) -> np.ndarray:
    """The boundary F measure of every class in one image, in [0, 1]; NaN for a class that occurs in neither map.

    For class c, P is the share of the boundary pixels of c in `labels` that have one of c in `truth` at a distance below
    the tolerance, R the same with the maps exchanged, F = 2 P R / (P + R) (Csurka et al. 2013, "What is a good evaluation
    measure for semantic segmentation?", section 3.2). F is 0 for a class in only one of the maps, 1 for one that covers all
    of both. A boundary pixel of c has one of its four neighbours in the image outside of c. Void pixels of the truth take
    the nearest label there, so that the borders which VOC leaves void run along the middle of the void band; void further
    than the tolerance from any label does not count.

    truth, labels: H x W integers, truth 255 where void. tolerance: pixels; 0.75 per cent of the diagonal if None.
    Raises ValueError if the shapes differ.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.boundaries import boundary_f
    >>> truth = np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 8, axis=0)
    >>> labels = np.repeat([[0, 0, 0, 0, 0, 1, 1, 1]], 8, axis=0)
    >>> boundary_f(truth, labels, num_classes=2, tolerance=1.5)
    array([1., 1.])
    >>> boundary_f(truth, labels, num_classes=2, tolerance=1.0)
    array([0., 0.])
    """
    truth, labels = array("truth", truth, None), array("labels", labels, None)
    num_classes = integer("num_classes", num_classes, 1)
    tolerance = None if tolerance is None else number("tolerance", tolerance)
    if truth.shape != labels.shape:
        raise ValueError(f"truth has shape {truth.shape}, labels {labels.shape}")
    scores = np.full(num_classes, np.nan)
    void = truth == VOID
    if void.all():
        return scores
    limit = TOLERANCE * math.hypot(*truth.shape) if tolerance is None else tolerance
    depth, nearest = distance_transform_edt(void, return_indices=True)
    truth, counted = truth[tuple(nearest)], depth < limit
    for label in range(num_classes):
        true, given = truth == label, labels == label
        if true.any() and given.any():
            scores[label] = _f_measure(_boundary(true), _boundary(given), counted, limit)
        elif true.any() or given.any():
            scores[label] = 0.0
    return scores


def _boundary(mask: np.ndarray) -> np.ndarray:
    edge = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & mask


def _f_measure(true: np.ndarray, given: np.ndarray, counted: np.ndarray, limit: float) -> float:
    right, found = true & counted, given & counted
    if not right.any() or not found.any():
        return float(right.any() == found.any())
    precision = (distance_transform_edt(~true)[found] < limit).mean()
    recall = (distance_transform_edt(~given)[right] < limit).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0
