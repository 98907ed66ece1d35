"""Files of class probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.postprocessing.probabilities import read_probabilities, write_probabilities


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
        (np.zeros((255, 1, 1)), "of 2 to 254 classes, it has 255"),
        (np.zeros((1, 3, 4)), "the probability p of one class alone"),
        (np.full((2, 3, 4), -0.1), "values outside 0 to 1"),
        (np.full((2, 3, 4), 1.01), "values outside 0 to 1"),
        (np.full((2, 3, 4), np.nan), "values outside 0 to 1"),
        (np.array([None]), r"cannot read .*Python objects"),
    ],
)
def test_arrays_that_are_none_are_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(CaffeError, match=words):
        read_probabilities(tmp_path / "p.npy")
