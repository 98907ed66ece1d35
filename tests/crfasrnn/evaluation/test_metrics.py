"""Scores against counting by hand and against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score
from support.crfasrnn.datasets import pictures as noisy_pictures
from support.reference_data import shared_path

from crfasrnn.evaluation import metrics
from crfasrnn.pictures.label_maps import read_labels


def sets(truth: np.ndarray, labels: np.ndarray, label: int) -> tuple[set[int], set[int]]:
    """The pixels truly of a class and those labelled so, void left out."""
    counted = {index for index, value in enumerate(truth.ravel()) if value != 255}
    true = {index for index in counted if truth.ravel()[index] == label}
    given = {index for index in counted if labels.ravel()[index] == label}
    return true, given


@pytest.fixture(params=range(4))
def pictures(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, int]:
    """Random truth with void, random labels; class 4 of 6 occurs in neither."""
    rng = np.random.default_rng(request.param)
    choices = np.array([0, 1, 2, 3, 5], np.uint8)
    truth = rng.choice(np.append(choices, 255).astype(np.uint8), (17, 23))
    labels = np.where(rng.random((17, 23)) < 0.6, truth, rng.choice(choices, (17, 23))).astype(np.uint8)
    return truth, np.where(labels == 255, 1, labels), 6


def test_every_score_is_what_sets_of_pixels_give(pictures: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, labels, count = pictures
    confusion = metrics.confusion_matrix(truth, labels, count)
    iu, accuracy, frequency = [], [], []
    for label in range(count):
        true, given = sets(truth, labels, label)
        iu.append(len(true & given) / len(true | given) if true | given else np.nan)
        accuracy.append(len(true & given) / len(true) if true else np.nan)
        frequency.append(len(true))
    np.testing.assert_allclose(metrics.per_class_iu(confusion), iu)
    np.testing.assert_allclose(metrics.per_class_accuracy(confusion), accuracy)
    assert metrics.mean_iu(confusion) == pytest.approx(np.nanmean(iu))
    assert metrics.mean_accuracy(confusion) == pytest.approx(np.nanmean(accuracy))
    counted = truth != 255
    assert metrics.pixel_accuracy(confusion) == pytest.approx((truth == labels)[counted].mean())
    weighted = sum(f * i for f, i in zip(frequency, iu) if f) / sum(frequency)
    assert metrics.frequency_weighted_iu(confusion) == pytest.approx(weighted)


def test_rows_are_true_and_columns_given() -> None:
    truth, labels = np.array([0, 0, 0, 1, 255]), np.array([1, 1, 0, 1, 0])
    assert metrics.confusion_matrix(truth, labels, 2).tolist() == [[1, 2], [0, 1]]


def test_a_closed_form() -> None:
    # Every pixel labelled 0, the true classes in shares 1/2, 1/4, 1/4.
    confusion = np.array([[2, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert metrics.per_class_iu(confusion).tolist() == [0.5, 0, 0]
    assert metrics.mean_iu(confusion) == pytest.approx(1 / 6)
    assert metrics.mean_accuracy(confusion) == pytest.approx(1 / 3)
    assert metrics.frequency_weighted_iu(confusion) == metrics.pixel_accuracy(confusion) / 2 == 0.25


def test_nothing_counted_gives_nan_not_a_crash() -> None:
    empty = metrics.confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2)), 3)
    for score in (metrics.mean_iu, metrics.pixel_accuracy, metrics.mean_accuracy, metrics.frequency_weighted_iu):
        assert np.isnan(score(empty))


@pytest.mark.parametrize(("truth", "labels", "message"), [([7], [0], "true label 7"), ([0], [3], "given label 3")])
def test_labels_out_of_range_are_named(truth: list[int], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(truth), np.array(labels), 3)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="truth has shape"):
        metrics.confusion_matrix(np.zeros((2, 3)), np.zeros((3, 2)), 2)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, labels = noisy_pictures(seed, classes=7, height=60, width=80)
    counted = truth != 255
    true, given = truth[counted], labels[counted]
    ours = metrics.confusion_matrix(truth, labels, 7)
    np.testing.assert_array_equal(ours, confusion_matrix(true, given, labels=range(7)))
    iu = jaccard_score(true, given, labels=range(7), average=None)
    np.testing.assert_allclose(metrics.per_class_iu(ours), iu, rtol=0, atol=1e-12)
    assert abs(metrics.mean_iu(ours) - iu.mean()) < 1e-12
    assert abs(metrics.frequency_weighted_iu(ours) - jaccard_score(true, given, average="weighted")) < 1e-12
    assert abs(metrics.pixel_accuracy(ours) - accuracy_score(true, given)) < 1e-12
    assert abs(metrics.mean_accuracy(ours) - balanced_accuracy_score(true, given)) < 1e-12


def test_scores_on_real_label_maps_are_those_of_scikit_learn() -> None:
    """VOC's masks against the same masks two pixels further, as a sloppy labeller would give them."""
    folder = shared_path("data", "VOCdevkit", "VOC2012", "SegmentationClass")
    pairs = []
    for path in sorted(folder.iterdir())[:12]:
        truth = read_labels(path)
        pairs.append((truth, np.roll(np.where(truth == 255, 0, truth), 2, axis=(0, 1))))
    ours = sum(metrics.confusion_matrix(truth, labels, 21) for truth, labels in pairs)
    true, given = (np.concatenate([pair[side][pair[0] != 255] for pair in pairs]) for side in (0, 1))
    present = np.unique(np.concatenate([true, given]))
    np.testing.assert_array_equal(ours, confusion_matrix(true, given, labels=range(21)))
    assert abs(metrics.mean_iu(np.asarray(ours)) - jaccard_score(true, given, labels=present, average="macro")) < 1e-12


def test_lists_pass_for_matrices_and_counts_have_bounds() -> None:
    assert metrics.mean_iu([[3, 1, 0], [0, 1, 0], [0, 0, 0]]) == 0.625
    for wrong in (0, 1 << 40, 2.5):
        with pytest.raises(ValueError, match="num_classes must be an integer of 1 to 4096"):
            metrics.confusion_matrix([0, 1], [0, 1], wrong)
    with pytest.raises(TypeError, match="truth must be an array of numbers"):
        metrics.confusion_matrix(None, [0, 1], 2)


@pytest.mark.parametrize("wrong", [3, [1, 2], [[1, 2]], [[[1]]]])
def test_what_is_no_matrix_is_refused(wrong: Any) -> None:
    for score in (metrics.mean_iu, metrics.pixel_accuracy, metrics.mean_accuracy, metrics.frequency_weighted_iu):
        with pytest.raises(ValueError, match="confusion must be a matrix C x C"):
            score(wrong)
