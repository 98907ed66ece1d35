"""pycaffe's conversions between arrays, images and Caffe's messages."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def load_image(filename: str | os.PathLike[str], color: bool = True) -> np.ndarray:
    """Read an image as float32 in [0, 1]: H x W x 3 (RGB; grey is repeated, alpha dropped), or H x W x 1 if `color` is False.

    Raises CaffeError for a file that is missing or no image.
    """
    import skimage.io  # here, because it takes a second to import and most programs load no image
    from skimage.util import img_as_float32

    try:
        image = img_as_float32(skimage.io.imread(os.fspath(filename), as_gray=not color))
    except FileNotFoundError:
        raise CaffeError(f"{os.fspath(filename)}: no such file") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise CaffeError(f"{os.fspath(filename)}: is no image that can be read: {error}") from error
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.ndim != 3 or image.shape[2] > 4:
        raise CaffeError(f"{os.fspath(filename)}: an image of shape {image.shape} is neither grey nor colour")
    if image.shape[2] in (2, 4):
        image = image[:, :, :-1]
    if color and image.shape[2] == 1:
        image = np.tile(image, (1, 1, 3))
    return image


def resize_image(im: np.ndarray, new_dims: tuple[int, int], interp_order: int = 1) -> np.ndarray:
    """Resize H x W x K to new_dims = (height, width) by spline interpolation of order `interp_order`; returns float32.

    For 1 and 3 channels the values keep their range, whatever it is; other K go through scipy's zoom, as in pycaffe.
    """
    import skimage.transform
    from scipy import ndimage

    im = np.asarray(im)
    height, width = int(new_dims[0]), int(new_dims[1])
    if im.shape[-1] not in (1, 3):
        zoom = (height / im.shape[0], width / im.shape[1], 1)
        return ndimage.zoom(im, zoom, order=interp_order).astype(np.float32)
    low, high = im.min(), im.max()
    if high <= low:
        return np.full((height, width, im.shape[-1]), low, dtype=np.float32)
    # skimage wants [0, 1]; Caffe scales there and back. The skimage of its time did no smoothing, and nets were tuned to that.
    scaled = (im - low) / (high - low)
    resized = skimage.transform.resize(
        scaled, (height, width), order=interp_order, mode="constant", anti_aliasing=False
    )
    return (resized * (high - low) + low).astype(np.float32)


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """A caffe_pb2.BlobProto's data (or diff) as a float array of its shape; four axes where it has num, channels, height, width."""
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    values = double if len(double) else single
    data = np.fromiter(values, dtype=float, count=len(values))
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return data.reshape(blob.num, blob.channels, blob.height, blob.width)
    return data.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """An array of any number of axes as a caffe_pb2.BlobProto; `diff`, of the same shape, goes into its diff."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.ravel(arr).astype(float).tolist())
    if diff is not None:
        blob.diff.extend(np.ravel(diff).astype(float).tolist())
    return blob


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """A C x H x W array as a caffe_pb2.Datum: uint8 as bytes, anything else as floats. Raises ValueError for other shapes."""
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape: a datum holds channels x height x width, not {arr.shape}.")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.ravel(arr).astype(float).tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    """A caffe_pb2.Datum as a C x H x W array: uint8 for bytes and for encoded images (BGR), float64 for floats.

    Raises CaffeError for an encoded image that cannot be decoded and for data that do not fit the size.
    """
    if datum.encoded:
        image = cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED) if datum.data else None
        if image is None:
            raise CaffeError("Could not decode datum")
        return np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1))
    if datum.data:
        values = np.frombuffer(datum.data, dtype=np.uint8).copy()
    else:
        values = np.fromiter(datum.float_data, dtype=float, count=len(datum.float_data))
    shape = (datum.channels, datum.height, datum.width)
    if values.size != datum.channels * datum.height * datum.width:
        raise CaffeError(f"a datum of {shape[0]} x {shape[1]} x {shape[2]} holds {values.size} values")
    return values.reshape(shape)
