"""compute_image_mean beside numpy's mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.caffe.image_sets import convert, datums
from support.reference_data import shared_path

import caffe
from caffe.proto import caffe_pb2
from caffe.tools import compute_image_mean


def test_means_are_those_of_numpy(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entries = convert(photos, "-resize_width=9", "-resize_height=8")
    target = photos.parent / "mean.binaryproto"
    assert compute_image_mean.main([str(photos.parent / "db"), str(target)]) == 0
    expected = np.mean([caffe.io.datum_to_array(datum) for _, datum in entries], axis=0)
    blob = caffe_pb2.BlobProto.FromString(target.read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 8, 9)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob)[0], expected, rtol=1e-6)
    assert f"mean_value channel [0]: {expected[0].mean():g}" in capfd.readouterr().err


def test_mean_of_float_datums(capfd: pytest.CaptureFixture[str]) -> None:
    source = shared_path("golden", "extras", "f32_lmdb")
    assert compute_image_mean.main([str(source)]) == 0
    expected = np.mean([caffe.io.datum_to_array(datum) for _, datum in datums(source)], axis=(0, 2, 3))
    log = capfd.readouterr().err
    for channel, value in enumerate(expected):
        assert f"mean_value channel [{channel}]: {value:g}" in log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "cannot open database 'nowhere'"),
        ([], "usage: compute_image_mean"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(compute_image_mean.main, words)
