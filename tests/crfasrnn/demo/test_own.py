"""The dense CRF of the page is that of crfasrnn.densecrf, for labels and for probabilities."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.crfasrnn.models import CAT

from caffe.errors import CaffeError
from crfasrnn.classes import VOID
from crfasrnn.demo.answers import answer
from crfasrnn.demo.fields import Deadline
from crfasrnn.demo.own import CONTROLS, MAX_SIDE, Canvas, label_classes
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_labels, unary_from_softmax


@pytest.fixture
def labels() -> np.ndarray:
    """A block on background, unknown between."""
    found = np.full(CAT.shape[:2], VOID, np.uint8)
    found[:10] = 0
    found[50:90, 40:120] = 1
    return found


def test_labels_are_refined_as_by_densecrf(labels: np.ndarray) -> None:
    field = Canvas.of(CAT).of_labels(labels, 0.7)
    energies = unary_from_labels(np.where(labels == VOID, 0, labels.astype(int) + 1), 2, 0.7)
    found = answer(field, CONTROLS, Deadline(60))
    np.testing.assert_array_equal(found.after, CrfSettings().labels(CAT, energies))
    np.testing.assert_array_equal(found.before, labels)


def test_probabilities_are_refined_as_by_densecrf() -> None:
    planes = np.random.default_rng(1).dirichlet(np.ones(3), CAT.shape[:2]).transpose(2, 0, 1).astype(np.float32)
    found = answer(Canvas.of(CAT).of_probabilities(planes), CONTROLS, Deadline(60))
    np.testing.assert_array_equal(found.after, CrfSettings().labels(CAT, unary_from_softmax(planes)))
    np.testing.assert_array_equal(found.before, planes.argmax(0))


def test_labels_that_nobody_uses_are_never_found(labels: np.ndarray) -> None:
    labels[labels == 1] = 3
    found = answer(Canvas.of(CAT).of_labels(labels, 0.7), CONTROLS, Deadline(60))
    assert set(np.unique(found.after)) == {0, 3}


def test_large_photographs_are_reduced_and_their_labels_enlarged(labels: np.ndarray) -> None:
    large = cv2.resize(CAT, (1600, 1200), interpolation=cv2.INTER_CUBIC)
    canvas = Canvas.of(large)
    assert canvas.image.shape == (480, MAX_SIDE, 3)
    masks = [cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST) for size in ((1600, 1200), (MAX_SIDE, 480))]
    for mask in masks:
        found = answer(canvas.of_labels(mask, 0.7), CONTROLS, Deadline(60))
        assert found.field.unary.shape == (1, 2, 480, MAX_SIDE)
        assert found.after.shape == found.before.shape == (1200, 1600)
    small = np.full((2, 60, 80), 0.5, np.float32)
    assert canvas.of_probabilities(small).unary.shape == (1, 2, 480, MAX_SIDE)


def test_what_says_nothing_or_does_not_fit_is_refused(labels: np.ndarray) -> None:
    canvas = Canvas.of(CAT)
    with pytest.raises(CaffeError, match="mark at least two things"):
        canvas.of_labels(np.where(labels == 1, labels, VOID), 0.7)
    with pytest.raises(CaffeError, match="certainty must be between 0 and 1"):
        canvas.of_labels(labels, 1.0)
    with pytest.raises(CaffeError, match="not the proportions of the photograph, 120 x 160"):
        canvas.of_probabilities(np.full((2, 120, 120), 0.5, np.float32))
    wide = Canvas.of(cv2.resize(CAT, (640, 480)))
    labels[0, 0] = 200
    with pytest.raises(CaffeError, match="201 classes are too many for this photograph: the page takes up to 39"):
        wide.of_labels(labels, 0.7)


def test_the_first_label_is_the_background() -> None:
    classes = label_classes(3)
    assert classes.names == ("background", "label 1", "label 2")
    assert classes.backgrounds == (True, False, False)
