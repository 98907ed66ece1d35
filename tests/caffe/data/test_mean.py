"""Mean images of genuine Caffe and of other shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.reference_data import FILES

from caffe.data.mean import read_mean
from caffe.errors import CaffeError
from caffe.io import array_to_blobproto


def test_a_mean_of_caffes_tools() -> None:
    mean = read_mean(FILES / "mean.binaryproto")
    assert mean.dtype == np.float32
    assert np.array_equal(mean, np.load(FILES / "mean.npy").reshape(3, 4, 5))


def test_axes_of_length_one_are_dropped_in_front_alone(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    for shape in ((1, 2, 3), (1, 1, 2, 3), (1, 1, 1, 2, 3)):
        path.write_bytes(array_to_blobproto(array.reshape(shape)).SerializeToString())
        assert np.array_equal(read_mean(path), array)
    for wrong in ((2, 3), (2, 1, 1, 3)):
        path.write_bytes(array_to_blobproto(array.reshape(wrong)).SerializeToString())
        with pytest.raises(CaffeError, match="not one C x H x W image"):
            read_mean(path)


def test_files_that_hold_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no mean")
    for name in ("text", "nowhere"):
        with pytest.raises(CaffeError, match=name):
            read_mean(tmp_path / name)
