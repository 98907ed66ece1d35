"""Datums, the entries of training databases, and the image files that they may hold: to and from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.inputs import images
from caffe.inputs.arguments import array, instance, integer
from caffe.inputs.opencv import cv2
from caffe.proto import caffe_pb2

Image = npt.NDArray[np.generic]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """A C x H x W array as a caffe_pb2.Datum: uint8 as bytes, anything else as floats. Raises ValueError for other shapes."""
    arr = array("arr", arr, None)
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape: a datum holds channels x height x width, not {arr.shape}.")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.ravel(arr).astype(float).tolist())
    if label is not None:
        datum.label = integer("label", label, -(2**31), 2**31 - 1)
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    """A caffe_pb2.Datum as a C x H x W array: uint8 for bytes and for encoded images (BGR), float64 for floats.

    Raises CaffeError for an encoded image that cannot be decoded and for data that do not fit the size.
    """
    instance("datum", datum, Message)
    if datum.encoded:
        return np.ascontiguousarray(decode_image(datum.data, cv2.IMREAD_UNCHANGED))
    if datum.data:
        values = np.frombuffer(datum.data, dtype=np.uint8).copy()
    else:
        values = np.fromiter(datum.float_data, dtype=float, count=len(datum.float_data))
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 0 or values.size != datum.channels * datum.height * datum.width:
        raise CaffeError(f"a datum of {shape[0]} x {shape[1]} x {shape[2]} holds {values.size} values")
    return values.reshape(shape)


def datum_image(datum: caffe_pb2.Datum, force_color: bool = False, force_gray: bool = False) -> Image:
    """The array (C, H, W) in a Datum: raw bytes, floats or an encoded image (BGR). Raises CaffeError if the Datum is damaged."""
    if datum.encoded and (force_color or force_gray):
        return decode_image(datum.data, cv2.IMREAD_COLOR if force_color else cv2.IMREAD_GRAYSCALE)
    if force_color or force_gray:
        raise CaffeError("force_color and force_gray are for encoded Datums; this one is raw.")
    image = datum_to_array(datum)
    if not image.size:
        raise CaffeError("the Datum is empty.")
    return image


def decode_image(data: bytes, flag: int) -> Image:
    """Decode an image file's bytes into (C, H, W), channels BGR; `flag` is one of OpenCV's IMREAD values.

    Raises CaffeError if they are damaged, of another kind than caffe.inputs.images.PHOTOGRAPHS, or of too many pixels.
    """
    try:
        images.opened(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except CaffeError as error:
        raise CaffeError(f"could not decode the image: {error}") from error
    except cv2.error as error:
        # Damaged headers promise sizes that OpenCV refuses.
        raise CaffeError(f"could not decode the image: {error.err or error}") from error
    if image is None:
        raise CaffeError("could not decode the image.")
    return np.atleast_3d(image).transpose(2, 0, 1)
