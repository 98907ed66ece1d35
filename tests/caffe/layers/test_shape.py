"""Slice: old words, and slices that do not exist."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layer_errors import net_with
from support.caffe.layer_options import SCORES, run

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_slice_dim_is_the_old_word_for_axis() -> None:
    layer = 'layer {{ name: "l" type: "Slice" bottom: "s" top: "a" top: "b" slice_param {{ {} slice_point: 1 }} }}'
    for axis, name in ((0, "slice_dim: 0"), (1, "slice_dim: 1"), (2, "axis: -1")):
        tops = run(layer.format(name), {"s": SCORES})
        first, second = np.split(SCORES, [1], axis)
        np.testing.assert_array_equal(tops["a"], first)
        np.testing.assert_array_equal(tops["b"], second)


@pytest.mark.parametrize(
    "points", ["slice_point: 5", "slice_point: 4", "slice_point: 1 slice_point: 2", "slice_dim: 1 axis: 1", ""]
)
def test_slices_that_do_not_exist(points: str) -> None:
    with pytest.raises(caffe.CaffeError, match=r"wrong.*(slice|divide)"):
        net_with([(1, 4 if points else 3, 6)], f'type: "Slice" slice_param {{ {points} }}', 'top: "a" top: "b"')
