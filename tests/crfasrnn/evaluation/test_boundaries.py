"""Scores around borders, differences of models and confusion matrices against independent implementations."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score
from support.reference_data import shared_path

from caffe.errors import CaffeError
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions, compare
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions
from crfasrnn.pictures.label_maps import read_labels


def pictures(seed: int, classes: int = 4, height: int = 19, width: int = 26) -> tuple[np.ndarray, np.ndarray]:
    """Truth in blobs with void, and labels like it with errors."""
    rng = np.random.default_rng(seed)
    truth = (
        rng.integers(0, classes, (height // 4 + 1, width // 4 + 1), np.uint8).repeat(4, 0).repeat(4, 1)[:height, :width]
    )
    labels = np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(0, classes, truth.shape)).astype(np.uint8)
    return np.where(rng.random(truth.shape) < 0.02, 255, truth).astype(np.uint8), labels


# Against scikit-learn


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, labels = pictures(seed, classes=7, height=60, width=80)
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


# Bands around void


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


# Boundary F


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


# Paired bootstrap


def confusions(seed: int, images: int = 60, better: float = 0.0) -> ImageConfusions:
    matrices = []
    for index in range(images):
        truth, labels = pictures(1000 + index)
        rng = np.random.default_rng([seed, index])
        repaired = np.where((rng.random(truth.shape) < better) & (truth != 255), truth, labels)
        matrices.append(metrics.confusion_matrix(truth, repaired, 4))
    return ImageConfusions(tuple(f"i{index}" for index in range(images)), ("a", "b", "c", "d"), np.array(matrices))


def test_the_interval_is_that_of_resampling_one_by_one() -> None:
    first, second = confusions(0), confusions(1, better=0.05)
    result = compare(first, second, resamples=4000, seed=5)
    assert result.first == metrics.mean_iu(first.matrices.sum(0))
    assert result.second == metrics.mean_iu(second.matrices.sum(0))
    rng = np.random.default_rng(99)
    differences = []
    for _ in range(4000):
        drawn = rng.integers(0, 60, 60)
        differences.append(
            metrics.mean_iu(second.matrices[drawn].sum(0)) - metrics.mean_iu(first.matrices[drawn].sum(0))
        )
    low, high = np.quantile(differences, [0.025, 0.975])
    spread = np.std(differences)
    assert abs(result.low - low) < 0.2 * spread
    assert abs(result.high - high) < 0.2 * spread
    assert result.low < result.difference < result.high


def test_the_seed_fixes_the_interval_and_equal_models_do_not_differ() -> None:
    first, second = confusions(0), confusions(1, better=0.2)
    assert compare(first, second, 600, seed=3) == compare(first, second, 600, seed=3)
    assert compare(first, second, 600, seed=3) != compare(first, second, 600, seed=4)
    same = compare(first, first, 100)
    assert (same.low, same.difference, same.high) == (0, 0, 0)
    assert compare(first, second, 1000).low > 0


def test_classes_that_a_resample_lacks_do_not_count() -> None:
    matrices = np.zeros((2, 2, 2), int)
    matrices[0, 0, 0], matrices[1, 1, 1], matrices[1, 1, 0] = 5, 3, 1
    one = ImageConfusions(("a", "b"), ("x", "y"), matrices)
    perfect = ImageConfusions(("a", "b"), ("x", "y"), np.stack([np.diag([5, 0]), np.diag([0, 4])]))
    result = compare(one, perfect, 500)
    # only image a: both perfect; only b: 0.375 against 1; both: mean of 5/6 and 3/4
    assert result.difference == pytest.approx(1 - (5 / 6 + 3 / 4) / 2)
    assert (result.low, result.high) == pytest.approx((0, 1 - 0.375))


def test_files_of_confusions_come_back_and_mismatches_are_refused(tmp_path: Path) -> None:
    first = confusions(0, images=3)
    first.save(tmp_path / "a.npz")
    back = ImageConfusions.load(tmp_path / "a.npz")
    assert (back.names, back.classes) == (first.names, first.classes)
    np.testing.assert_array_equal(back.matrices, first.matrices)
    with pytest.raises(CaffeError, match=r"images differ \(3 and 2 of them\)"):
        compare(first, confusions(0, images=2))
    with pytest.raises(CaffeError, match="classes differ"):
        compare(first, ImageConfusions(first.names, ("a", "b", "c", "e"), first.matrices))
    with pytest.raises(CaffeError, match="'i0' and 'j0'"):
        compare(first, ImageConfusions(("j0", "i1", "i2"), first.classes, first.matrices))
    np.savez(tmp_path / "b.npz", names=np.array(["x"]))
    with pytest.raises(CaffeError, match="no array 'classes'"):
        ImageConfusions.load(tmp_path / "b.npz")
    np.savez(
        tmp_path / "c.npz", names=np.array(["x"]), classes=np.array([object()]), confusion=np.zeros((1, 1, 1), int)
    )
    with pytest.raises(CaffeError, match=r"c\.npz"):
        ImageConfusions.load(tmp_path / "c.npz")
