"""Crop: a blob cut to another's size at an offset."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_cut_at_offsets_from_an_axis_on() -> None:
    x, like = np.arange(2 * 3 * 6 * 7, dtype=np.float32).reshape(2, 3, 6, 7), np.zeros((2, 3, 4, 5), np.float32)
    layer = """layer { name: "l" type: "Crop" bottom: "x" bottom: "like" top: "y" crop_param { axis: 2 offset: 1 offset: 2 } }"""
    np.testing.assert_array_equal(run(layer, {"x": x, "like": like})["y"], x[:, :, 1:5, 2:7])


def test_one_offset_is_for_all_axes() -> None:
    x, like = np.arange(6 * 7, dtype=np.float32).reshape(1, 1, 6, 7), np.zeros((1, 1, 3, 3), np.float32)
    layer = """layer { name: "l" type: "Crop" bottom: "x" bottom: "like" top: "y" crop_param { axis: 2 offset: 2 } }"""
    np.testing.assert_array_equal(run(layer, {"x": x, "like": like})["y"], x[:, :, 2:5, 2:5])
