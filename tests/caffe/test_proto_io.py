"""pycaffe's conversions between arrays, images and messages."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.reference_data import TESTS

from caffe import io
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

GOLDEN = TESTS / "golden" / "files"


def test_blobs_there_and_back() -> None:
    array = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    blob = io.array_to_blobproto(array, diff=-array)
    assert list(blob.shape.dim) == [2, 3, 4]
    assert np.array_equal(io.blobproto_to_array(blob), array)
    assert np.array_equal(io.blobproto_to_array(blob, return_diff=True), -array)
    mean = caffe_pb2.BlobProto.FromString((GOLDEN / "mean.binaryproto").read_bytes())
    assert io.blobproto_to_array(mean).shape == (1, 3, 4, 5)
    assert np.array_equal(io.blobproto_to_array(mean)[0], np.load(GOLDEN / "mean.npy").reshape(3, 4, 5))
    double = caffe_pb2.BlobProto(double_data=[0.1], shape={"dim": [1]})
    assert io.blobproto_to_array(double).tolist() == [0.1]


def test_lists_of_blobs_there_and_back() -> None:
    arrays = [np.arange(6.0).reshape(1, 2, 3, 1), np.zeros((2, 1, 1, 1))]
    content = io.arraylist_to_blobprotovector_str(arrays)
    for mine, array in zip(io.blobprotovector_str_to_arraylist(content), arrays, strict=True):
        np.testing.assert_array_equal(mine, array)
    for damaged in (content[:-3], b"\xff\xff"):
        with pytest.raises(CaffeError, match="not a BlobProtoVector"):
            io.blobprotovector_str_to_arraylist(damaged)


def test_datums_there_and_back() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    datum = io.array_to_datum(pixels, label=7)
    assert (datum.channels, datum.height, datum.width, datum.label, datum.data) == (2, 3, 4, 7, pixels.tobytes())
    back = io.datum_to_array(datum)
    assert back.dtype == np.uint8
    assert np.array_equal(back, pixels)
    floats = pixels.astype(np.float32) / 7
    datum = io.array_to_datum(floats)
    assert not datum.data
    assert not datum.HasField("label")
    assert np.array_equal(io.datum_to_array(datum), floats)
    with pytest.raises(ValueError, match="Incorrect array shape"):
        io.array_to_datum(pixels[0])
    datum.height = 5
    with pytest.raises(CaffeError, match="2 x 5 x 4 holds 24 values"):
        io.datum_to_array(datum)


def test_encoded_datums() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", image)[1].tobytes())
    assert np.array_equal(io.datum_to_array(datum), image.transpose(2, 0, 1))
    datum.data = datum.data[:20]
    with pytest.raises(CaffeError, match="could not decode the image"):
        io.datum_to_array(datum)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_rgb_in_0_to_1(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, channels), dtype=np.uint8)
    pixels[..., 3:] = 255
    cv2.imwrite(str(tmp_path / "i.png"), pixels)  # BGR
    image = io.load_image(tmp_path / "i.png")
    assert image.dtype == np.float32
    expected = np.tile(pixels, (1, 1, 3)) if channels == 1 else pixels[:, :, 2::-1]
    assert np.allclose(image, expected / 255, atol=1e-7)
    grey = io.load_image(tmp_path / "i.png", color=False)
    assert grey.shape == (6, 5, 1)
    assert grey.dtype == np.float32
    assert np.allclose(grey[..., 0], image @ [0.2125, 0.7154, 0.0721], atol=1e-5)


def test_images_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for name, words in (("none.png", "no such file"), ("text.png", "is not an image")):
        with pytest.raises(CaffeError, match=words):
            io.load_image(tmp_path / name)


def test_resizing_keeps_the_range_of_values() -> None:
    ramp = np.linspace(-100, 155, 40, dtype=np.float32)[None, :, None] * np.ones((30, 1, 3), np.float32)
    small = io.resize_image(ramp, (15, 20))
    assert small.shape == (15, 20, 3)
    assert small.dtype == np.float32
    assert np.allclose(small[:, :, 0], (ramp[0, ::2, 0] + ramp[0, 1::2, 0]) / 2, atol=1e-4)
    assert np.array_equal(io.resize_image(np.full((3, 4, 1), 7.0), (5, 6)), np.full((5, 6, 1), 7, np.float32))
    five = io.resize_image(np.dstack([ramp] * 2)[..., :5], (60, 80))
    assert five.shape == (60, 80, 5)
    assert five.dtype == np.float32
    assert np.allclose(five[0, [0, -1], 0], [-100, 155], atol=1e-3)
