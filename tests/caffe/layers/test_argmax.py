"""ArgMax: places of the largest scores, and these."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_the_two_largest_by_axis() -> None:
    x = np.random.default_rng(0).permutation(24).astype(np.float32).reshape(2, 4, 3)
    layer = """layer { name: "l" type: "ArgMax" bottom: "x" top: "y" argmax_param { axis: 1 top_k: 2 } }"""
    np.testing.assert_array_equal(run(layer, {"x": x})["y"], np.argsort(-x, 1)[:, :2])
    layer = layer.replace("top_k: 2", "top_k: 2 out_max_val: true")
    np.testing.assert_array_equal(run(layer, {"x": x})["y"], -np.sort(-x, 1)[:, :2])
