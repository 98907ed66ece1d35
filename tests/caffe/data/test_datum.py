"""Datums and image files beside numpy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe.data.datum import array_to_datum, datum_image, datum_to_array, decode_image
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def test_datums_there_and_back() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    datum = array_to_datum(pixels, label=7)
    assert (datum.channels, datum.height, datum.width, datum.label, datum.data) == (2, 3, 4, 7, pixels.tobytes())
    back = datum_to_array(datum)
    assert back.dtype == np.uint8
    assert np.array_equal(back, pixels)
    floats = pixels.astype(np.float32) / 7
    datum = array_to_datum(floats)
    assert not datum.data
    assert not datum.HasField("label")
    assert np.array_equal(datum_to_array(datum), floats)
    with pytest.raises(ValueError, match="Incorrect array shape"):
        array_to_datum(pixels[0])
    datum.height = 5
    with pytest.raises(CaffeError, match="2 x 5 x 4 holds 24 values"):
        datum_to_array(datum)
    nothing = caffe_pb2.Datum(channels=-1, height=0, width=0)
    with pytest.raises(CaffeError, match="-1 x 0 x 0 holds 0 values"):
        datum_to_array(nothing)


def test_a_view_is_stored_in_its_own_order() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    planes = image.transpose(2, 0, 1)[:, ::-1]
    assert np.array_equal(datum_to_array(array_to_datum(planes)), planes)


def encoded(image: np.ndarray) -> caffe_pb2.Datum:
    """A PNG of H x W x C or H x W in a Datum."""
    return caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", image)[1].tobytes())


def test_encoded_datums() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    datum = encoded(image)
    assert np.array_equal(datum_to_array(datum), image.transpose(2, 0, 1))
    for cut in (20, 0):
        datum.data = datum.data[:cut]
        with pytest.raises(CaffeError, match="could not decode the image"):
            datum_to_array(datum)


def test_encoded_datums_in_colour_and_in_grey_as_asked() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert np.array_equal(datum_image(encoded(image)), image.transpose(2, 0, 1))
    assert np.abs(datum_image(encoded(image), force_gray=True)[0].astype(int) - grey).max() <= 1
    assert datum_image(encoded(grey)).shape == (1, 4, 5)
    assert np.array_equal(datum_image(encoded(grey), force_color=True), np.stack([grey] * 3))
    raw = array_to_datum(image.transpose(2, 0, 1))
    for force in ({"force_color": True}, {"force_gray": True}):
        with pytest.raises(CaffeError, match="are for encoded Datums; this one is raw"):
            datum_image(raw, **force)
    with pytest.raises(CaffeError, match="the Datum is empty"):
        datum_image(caffe_pb2.Datum())


def test_image_files_are_decoded_channels_first() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    content = cv2.imencode(".png", image)[1].tobytes()
    assert np.array_equal(decode_image(content, cv2.IMREAD_COLOR), image.transpose(2, 0, 1))
    assert decode_image(content, cv2.IMREAD_GRAYSCALE).shape == (1, 4, 5)
    # A header that promises a size which OpenCV refuses.
    huge = content[:16] + (1 << 30).to_bytes(4, "big") * 2 + content[24:]
    for damaged in (b"", b"\x89PNG but not really", huge):
        with pytest.raises(CaffeError, match="could not decode the image"):
            decode_image(damaged, cv2.IMREAD_COLOR)
