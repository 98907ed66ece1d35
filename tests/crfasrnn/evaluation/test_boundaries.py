"""Scores around borders against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from support.crfasrnn.datasets import pictures

from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions


def test_bands_are_discs_around_void() -> None:
    truth, labels = pictures(1)
    bands = trimap_confusions(truth, labels, 4)
    assert bands.shape == (40, 4, 4)
    void = truth == 255
    for width in (1, 2, 3, 5, 40):
        reach = np.arange(-width, width + 1)
        disc = reach[:, None] ** 2 + reach**2 <= width**2
        near = binary_dilation(void, disc) & ~void
        expected = metrics.confusion_matrix(np.where(near, truth, 255), labels, 4)
        np.testing.assert_array_equal(bands[width - 1], expected)
    np.testing.assert_array_equal(trimap_confusions(truth, labels, 4, widths=2), bands[:2])


def test_without_void_there_are_no_bands() -> None:
    assert not trimap_confusions(np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.uint8), 2).any()
    with pytest.raises(ValueError, match="given label 3"):
        trimap_confusions(np.zeros((2, 2), np.uint8), np.full((2, 2), 3), 2)


def brute_force_f(truth: np.ndarray, labels: np.ndarray, label: int, limit: float) -> float:
    """The definition, pixel by pixel."""
    height, width = truth.shape

    def boundary(picture: np.ndarray) -> list[tuple[int, int]]:
        found = []
        for y, x in itertools.product(range(height), range(width)):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [picture[j, i] == label for j, i in around if 0 <= j < height and 0 <= i < width]
            if picture[y, x] == label and not all(inside):
                found.append((y, x))
        return found

    def share(of: list[tuple[int, int]], near: list[tuple[int, int]]) -> float:
        return float(np.mean([min(np.hypot(y - j, x - i) for j, i in near) < limit for y, x in of]))

    true, given = boundary(truth), boundary(labels)
    precision, recall = share(given, true), share(true, given)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("limit", [1.0, 1.5, 3.0])
def test_boundary_f_is_its_definition(limit: float) -> None:
    truth, _ = pictures(3, height=14, width=17)
    truth[truth == 255] = 0
    labels = np.roll(truth, 1, axis=1)
    expected = [brute_force_f(truth, labels, label, limit) for label in range(4)]
    np.testing.assert_allclose(boundary_f(truth, labels, 4, limit), expected, atol=1e-12)


def test_boundary_f_of_special_cases() -> None:
    truth = np.zeros((100, 100), np.uint8)
    truth[:, 50:] = 1
    shifted = np.zeros((100, 100), np.uint8)
    shifted[:, 51:] = 1
    assert boundary_f(truth, truth, 3).tolist()[:2] == [1, 1]
    assert np.isnan(boundary_f(truth, truth, 3)[2])
    assert boundary_f(truth, np.zeros_like(truth), 3).tolist()[1] == 0
    # 0.75 per cent of the diagonal is 1.06 pixels: a shift by one is within it, by two is not
    assert boundary_f(truth, shifted, 2).tolist() == [1, 1]
    assert boundary_f(truth, np.roll(shifted, 1, 1), 2)[1] < 0.1
    void = truth.copy()
    void[:, 48:52] = 255  # as VOC draws borders
    assert boundary_f(void, truth, 2).tolist() == [1, 1]
    object_left_out, guess = truth.copy(), truth.copy()
    object_left_out[30:60, 10:40], guess[40:50, 20:30] = 255, 1
    assert boundary_f(object_left_out, guess, 2).tolist() == [1, 1]
    assert boundary_f(truth, guess, 2).max() < 1
    assert boundary_f(np.zeros((9, 9)), np.zeros((9, 9)), 1).tolist() == [1]
    assert np.isnan(boundary_f(np.full((9, 9), 255), np.zeros((9, 9)), 2)).all()
