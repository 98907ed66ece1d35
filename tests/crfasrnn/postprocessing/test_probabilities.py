"""Files of class probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.postprocessing.probabilities import (
    are_activation_maps,
    read_activation_maps,
    read_probabilities,
    write_probabilities,
)


def test_probabilities_come_as_npz_too(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((2, 3, 4)).astype(np.float32)
    np.savez_compressed(tmp_path / "one.npz", planes)
    np.savez(tmp_path / "two.npz", a=planes, b=planes)
    assert np.array_equal(read_probabilities(tmp_path / "one.npz"), planes)
    with pytest.raises(CaffeError, match="2 arrays instead of one"):
        read_probabilities(tmp_path / "two.npz")


def test_what_is_written_comes_back_with_three_digits(tmp_path: Path) -> None:
    planes = np.random.default_rng(1).random((4, 5, 6)).astype(np.float32)
    write_probabilities(tmp_path / "p.npy", planes)
    assert np.load(tmp_path / "p.npy").dtype == np.float16
    found = read_probabilities(tmp_path / "p.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, planes, atol=5e-4)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3)), r"must hold C x H x W probabilities .*\(2, 3\) float64"),
        (np.zeros((2, 3, 4), int), "int64"),
        (np.zeros((0, 3, 4)), r"\(0, 3, 4\)"),
        (np.zeros((255, 1, 1)), r"of 2 to 254 classes, it is 255 x 1 x 1$"),
        (np.zeros((375, 500, 21)), r"it is 375 x 500 x 21: if that is H x W x C, save numpy.moveaxis\(array, 2, 0\)"),
        (np.zeros((1, 3, 4)), "the probability p of one class alone"),
        (np.full((2, 3, 4), -0.1), "values outside 0 to 1"),
        (np.full((2, 3, 4), 1.01), "values outside 0 to 1"),
        (np.full((2, 3, 4), np.nan), "values that are no numbers"),
        (np.array([None]), r"cannot read .*Python objects"),
    ],
)
def test_arrays_that_are_none_are_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(CaffeError, match=words):
        read_probabilities(tmp_path / "p.npy")


def test_scores_are_soft_maxed_and_must_be_finite(tmp_path: Path) -> None:
    scores = np.random.default_rng(2).normal(0, 50, (3, 4, 5))
    np.save(tmp_path / "s.npy", scores)
    found = read_probabilities(tmp_path / "s.npy", scores=True)
    expected = np.exp(scores) / np.exp(scores).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    for array, words in ((np.full((2, 3, 4), np.inf), "not finite"), (np.zeros((1, 3, 4)), "the score of one class")):
        np.save(tmp_path / "s.npy", array)
        with pytest.raises(CaffeError, match=words):
            read_probabilities(tmp_path / "s.npy", scores=True)


def test_activation_maps_are_known_by_the_names_of_their_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    cat, person = rng.random((2, 4, 5))
    np.savez_compressed(tmp_path / "maps.npz", **{"15": person, "8": cat})
    np.savez(tmp_path / "planes.npz", np.stack([cat, person]))
    assert are_activation_maps(tmp_path / "maps.npz")
    assert not are_activation_maps(tmp_path / "planes.npz")
    assert not are_activation_maps(tmp_path / "maps.npy")
    labels, planes = read_activation_maps(tmp_path / "maps.npz", 3.0)
    assert labels.tolist() == [0, 8, 15]
    np.testing.assert_allclose(planes, [(1 - np.maximum(cat, person)) ** 3, cat, person], rtol=1e-5)
    for arrays, words in (
        ({"1": cat, "2": cat[1:]}, "floats of one size for each label, found 1: .4, 5. float64, 2: .3, 5."),
        ({"1": cat * 9}, "divide each map by its maximum"),
        ({"0": cat}, "the background's map alone"),
        ({"1": cat, "cat": cat}, "called by their labels, 0 to 254, found 'cat'"),
        ({"1": np.array([None])}, "Python objects"),
    ):
        np.savez(tmp_path / "wrong.npz", **arrays)
        with pytest.raises(CaffeError, match=words):
            read_activation_maps(tmp_path / "wrong.npz", 4.0)


def test_a_pickled_dictionary_is_not_loaded_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "cam.npy", {8: np.zeros((4, 5))}, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match=r"may run code .* numpy.savez\(file, "):
        read_probabilities(tmp_path / "cam.npy")
