"""The lattice of ONNX operators, run one by one, gives what the compiled filter gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crfasrnn.crf import permutohedral_filter
from crfasrnn.export.onnx_lattice import OnnxLattice

onnxscript = pytest.importorskip("onnxscript", reason="it makes the operators: pip install 'crfasrnn[onnx]'")
pytest.importorskip("onnxruntime", reason="it runs the operators: pip install 'crfasrnn[onnx]'")


def filtered(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    def given(array: np.ndarray) -> Any:
        return onnxscript.tensor.Tensor(array)

    lattice = OnnxLattice(onnxscript.opset18, given(features), features.shape[1])
    return np.array(lattice(given(values)).value)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("spread", [0.3, 4.0, 60.0])
def test_equals_the_compiled_filter(dimensions: int, spread: float) -> None:
    rng = np.random.default_rng(dimensions)
    features = (spread * rng.standard_normal((40, dimensions))).astype(np.float32)
    features[5] = features[6]  # two points at one place
    values = rng.standard_normal((40, 3)).astype(np.float32)
    expected = permutohedral_filter(torch.from_numpy(values), torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(filtered(features, values), expected, rtol=1e-4, atol=1e-5)


def test_points_on_the_borders_of_simplices() -> None:
    """A grid of positions, as pixels are, where rounding decides in which simplex a point lies."""
    y, x = np.meshgrid(np.arange(9), np.arange(11), indexing="ij")
    features = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32) / 3
    values = np.random.default_rng(0).standard_normal((99, 2)).astype(np.float32)
    expected = permutohedral_filter(torch.from_numpy(values), torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(filtered(features, values), expected, rtol=1e-4, atol=1e-5)


def test_one_point() -> None:
    one = np.zeros((1, 2), np.float32)
    expected = permutohedral_filter(torch.ones(1, 1), torch.from_numpy(one)).numpy()
    np.testing.assert_allclose(filtered(one, np.ones((1, 1), np.float32)), expected, rtol=1e-5)


def test_more_vertices_than_numbers_are_nan() -> None:
    """Never numbers that are wrong."""
    features = (3e4 * np.random.default_rng(0).standard_normal((40, 6))).astype(np.float32)
    assert np.isnan(filtered(features, np.ones((40, 1), np.float32))).all()
