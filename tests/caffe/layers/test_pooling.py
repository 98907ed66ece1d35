"""Pooling against its definition, with any window and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.caffe.layers import one_layer, random

import caffe
from caffe.layers.pooling import Pool
from caffe.layers.window import Windows

pytestmark = pytest.mark.usefixtures("compute")


def naive_pool(x: np.ndarray, pool: Pool, average: bool) -> np.ndarray:
    """Pooling cell by cell, as Caffe documents it."""
    (kh, kw), (sh, sw), (ph, pw) = pool.kernel, pool.stride, pool.pad
    height, width = x.shape
    out = pool.output((height, width))
    y = np.zeros(out, np.float32)
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * sh - ph, j * sw - pw
            bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
            cells = x[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            if cells.size:
                y[i, j] = cells.sum() / ((bottom - top) * (right - left)) if average else cells.max()
    return y


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    floor=st.booleans(),
)
def test_pooling_equals_the_definition_for_any_window(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], floor: bool
) -> None:
    pads = (min(pad[0], kernel[0] - 1), min(pad[1], kernel[1] - 1))
    pool = Pool(Windows.pooling(kernel, stride, pads, rounds_up=not floor))
    if min(pool.output(size)) < 1:
        return
    x = torch.from_numpy(random(2, *size) - 5)
    values, index = pool.maximum_with_index(x[None])
    np.testing.assert_array_equal(pool.maximum(x[None])[0], values[0])
    flat = torch.cat([x.reshape(2, -1), torch.zeros(2, 1)], 1)  # index -1, an empty window, gives 0
    np.testing.assert_array_equal(
        flat.gather(1, index[0].reshape(2, -1) % flat.shape[1]).reshape(values[0].shape), values[0]
    )
    for plane in range(2):
        np.testing.assert_allclose(values[0, plane], naive_pool(x[plane].numpy(), pool, False))
        average = pool.average(x[None])[0, plane]
        np.testing.assert_allclose(average, naive_pool(x[plane].numpy(), pool, True), rtol=1e-5, atol=1e-6)


def test_output_size_of_floor_mode() -> None:
    assert Pool(Windows.pooling((2, 2), (2, 2), (0, 0))).output((5, 7)) == (3, 4)
    assert Pool(Windows.pooling((2, 2), (2, 2), (0, 0), rounds_up=False)).output((5, 7)) == (2, 3)


def test_stochastic_pooling_draws_cells_by_value_and_averages_in_test() -> None:
    layer = 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'
    x = np.tile(np.array([[1, 3], [0, 6]], np.float32), (1, 1, 40, 40))
    caffe.set_random_seed(2)
    train = one_layer(x.shape, layer, caffe.TRAIN)
    train.blobs["x"].data[...] = x
    train.forward()
    drawn = train.blobs["y"].data
    for value in (1, 3, 6):
        assert abs((drawn == value).mean() - value / 10) < 0.05
    assert set(np.unique(drawn)) == {1, 3, 6}
    test = one_layer(x.shape, layer)
    test.blobs["x"].data[...] = x
    test.forward()
    np.testing.assert_allclose(test.blobs["y"].data, 46 / 10, rtol=1e-6)
