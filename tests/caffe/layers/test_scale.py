"""Scale and Bias: a smaller blob repeated along the axes that it lacks."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_scale_and_bias_repeat_the_second_bottom() -> None:
    x, c = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32), np.array([1, -2, 3], np.float32)
    for layer_type, expected in (("Scale", x * c[:, None, None]), ("Bias", x + c[:, None, None])):
        layer = f'layer {{ name: "l" type: "{layer_type}" bottom: "x" bottom: "c" top: "y" }}'
        np.testing.assert_allclose(run(layer, {"x": x, "c": c})["y"], expected, rtol=1e-6)


def test_a_learned_scale_has_a_bias_if_asked() -> None:
    x = np.ones((2, 3, 2), np.float32)
    layer = """layer { name: "l" type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true } }"""
    factors, addends = np.array([1, 2, 3], np.float32), np.array([0, 10, 20], np.float32)
    np.testing.assert_array_equal(run(layer, {"x": x}, (factors, addends))["y"][1, :, 0], [1, 12, 23])
