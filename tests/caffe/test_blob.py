"""Blobs as pycaffe users see them: views that stay current, on every device, and legacy shapes."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.nets import CONV

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_views_stay_current_and_are_writable(write, compute: str) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    data, result = net.blobs["data"].data, net.blobs["a"].data

    def forward() -> None:
        net.forward()
        if compute != "cpu":
            # Elsewhere a view is brought up to date when the blob is asked for its data, as in Caffe.
            assert all(net.blobs[name].data is not None for name in ("data", "a"))

    data[...] = 1
    forward()
    first = result.copy()
    assert first.any()
    data[...] = -2
    forward()
    assert not np.array_equal(result, first)
    assert result is not net.blobs["a"].data
    np.testing.assert_array_equal(result, net.blobs["a"].data)


def test_legacy_shapes_of_blobs() -> None:
    blob = caffe.Blob((2, 3))
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 1, 1, 6)
    blob.reshape(1, 2, 3, 4, 5)
    assert blob.count == 120
    with pytest.raises(RuntimeError, match="legacy accessors"):
        _ = blob.num
    for shape in ((-1,), (1,) * 33, (2**16, 2**16)):
        with pytest.raises(RuntimeError, match="Cannot reshape"):
            blob.reshape(*shape)


def test_lengths_are_whole_numbers_and_not_too_many() -> None:
    blob = caffe.Blob((2, 3))
    blob.reshape(np.int64(4), 5.0)
    assert blob.shape == (4, 5)
    for wrong in ("3", None, 2.5, float("nan")):
        with pytest.raises((TypeError, ValueError), match="the length of an axis must be an integer"):
            blob.reshape(wrong)
    for endless in (np.broadcast_to(np.uint8(1), 1 << 31), range(1 << 40)):
        with pytest.raises(caffe.CaffeError, match="at most 32 axes"):
            blob.reshape(endless)
    with pytest.raises(TypeError, match="other must be a Blob, not list"):
        blob.reshape_like([2, 3])
    assert blob.shape == (4, 5)
