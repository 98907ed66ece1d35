"""Reduction: sums and means over the axes from one on."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_operations() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for operation, expected in (
        ("SUM", x.sum((1, 2))),
        ("ASUM", np.abs(x).sum((1, 2))),
        ("SUMSQ", (x**2).sum((1, 2))),
        ("MEAN", x.mean((1, 2))),
    ):
        options = f"operation: {operation} axis: 1 coeff: 3"
        layer = f'layer {{ name: "l" type: "Reduction" bottom: "x" top: "y" reduction_param {{ {options} }} }}'
        np.testing.assert_allclose(run(layer, {"x": x})["y"], 3 * expected, rtol=1e-5)
