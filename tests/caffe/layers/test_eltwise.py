"""Eltwise: sums with coefficients, products and maxima of blobs."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_operations_of_three_blobs() -> None:
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=(2, 3, 4)).astype(np.float32) for name in "abc"}
    a, b, c = inputs.values()
    for options, expected in (
        ("", a + b + c),
        ("operation: SUM coeff: 2 coeff: -1 coeff: 0.5", 2 * a - b + 0.5 * c),
        ("operation: PROD", a * b * c),
        ("operation: MAX", np.maximum(a, np.maximum(b, c))),
    ):
        bottoms = " ".join(f'bottom: "{name}"' for name in inputs)
        layer = f'layer {{ name: "l" type: "Eltwise" {bottoms} top: "y" eltwise_param {{ {options} }} }}'
        np.testing.assert_allclose(run(layer, inputs)["y"], expected, rtol=1e-6, atol=1e-6)
