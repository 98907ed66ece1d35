"""LRN and MVN against their formulas."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_lrn_across_channels() -> None:
    x = np.random.default_rng(0).normal(size=(1, 5, 2, 2)).astype(np.float32)
    layer = """layer { name: "l" type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.6 beta: 0.75 k: 2 } }"""
    padded = np.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    scale = 2 + 0.6 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])
    np.testing.assert_allclose(run(layer, {"x": x})["y"], x / scale**0.75, rtol=1e-5)


def test_mvn_has_mean_zero_and_variance_one_by_channel() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(2, 3, 8, 8)).astype(np.float32)
    y = run("""layer { name: "l" type: "MVN" bottom: "x" top: "y" }""", {"x": x})["y"]
    np.testing.assert_allclose(y.mean((2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((2, 3)), 1, rtol=1e-4)
