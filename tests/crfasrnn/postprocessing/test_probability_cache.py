"""Probabilities of a model are computed once; given ones are found by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.postprocessing import probability_cache
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.search import Sample
from crfasrnn.segmentation.segmenter import Segmenter


def test_probabilities_of_a_model_are_kept(samples: list[Sample], tmp_path: Path) -> None:
    examples, folder, made = [sample.example for sample in samples[:2]], tmp_path / "cache", []

    def model() -> Segmenter:
        made.append(1)
        return Segmenter()

    kept = probability_cache.cached(examples, folder, "a", model, 1 << 20)
    expected = Segmenter().segment(examples[0].image(), probabilities=True).probabilities
    np.testing.assert_allclose(read_probabilities(kept[0].probabilities), expected, atol=5e-4)
    assert probability_cache.cached(examples, folder, "a", model, 1 << 20) == kept
    assert made == [1]
    with pytest.raises(CaffeError, match="are of another model"):
        probability_cache.cached(examples, folder, "b", model, 1 << 20)
    with pytest.raises(CaffeError, match="raise the limit"):
        probability_cache.cached(examples, tmp_path / "other", "a", model, 1000)
    assert not list((tmp_path / "other").glob("*.npy"))


def test_given_files_are_found_by_name(samples: list[Sample], tmp_path: Path) -> None:
    examples, folder = [sample.example for sample in samples], tmp_path / "probabilities"
    assert probability_cache.given(examples, folder) == samples
    planes = read_probabilities(folder / "disc1.npy")
    (folder / "disc1.npy").unlink()
    np.savez(folder / "disc1.npz", planes)
    assert probability_cache.given(examples, folder)[1].probabilities == folder / "disc1.npz"
    (folder / "disc2.npy").rename(folder / "disc2_probabilities.npy")  # as segment names it
    assert probability_cache.given(examples, folder)[2].probabilities == folder / "disc2_probabilities.npy"
    (folder / "disc2_probabilities.npy").unlink()
    with pytest.raises(
        CaffeError, match=r"no probabilities for 'disc2': .*disc2.npy' is missing \(or .npz, or _probabilities.npy\)"
    ):
        probability_cache.given(examples, folder)
