"""pycaffe's conversions between arrays, images and Caffe's messages.

>>> import caffe, numpy as np, skimage.io
>>> skimage.io.imsave("red.png", np.full((4, 6, 3), (255, 0, 0), np.uint8), check_contrast=False)
>>> image = caffe.io.load_image("red.png")
>>> image.shape, image[0, 0].tolist()
((4, 6, 3), [1.0, 0.0, 0.0])
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.message import DecodeError, Message

from caffe.data.datum import array_to_datum as array_to_datum  # pycaffe has both here
from caffe.data.datum import datum_to_array as datum_to_array
from caffe.errors import CaffeError, FileError
from caffe.inputs.arguments import array, instance, integer
from caffe.inputs.images import PHOTOGRAPHS, opened
from caffe.inputs.limits import MAX_IMAGE_FILE
from caffe.inputs.reading import read_bytes
from caffe.proto import caffe_pb2

_MOST_VALUES = 2**29 - 1  # of 4 bytes in a message of protobuf
_MOST_ARRAYS = 2**20
_MOST_PIXELS = 2**31 - 1  # on a side

# scikit-image makes a film of a GIF, and as much memory of it as its author likes.
_KINDS = tuple(kind for kind in PHOTOGRAPHS if kind != "GIF")


def load_image(filename: str | os.PathLike[str] | BinaryIO, color: bool = True) -> np.ndarray:
    """Read an image as float32 in [0, 1]: H x W x 3 (RGB; grey is repeated, alpha dropped), or H x W x 1 if `color` is False.

    filename: a path, or an open binary file, such as an upload or an io.BytesIO, which is read from where it stands.

    >>> import caffe, numpy as np, skimage.io
    >>> skimage.io.imsave("red.png", np.full((4, 6, 3), (255, 0, 0), np.uint8), check_contrast=False)
    >>> image = caffe.io.load_image("red.png")
    >>> image.shape, image[0, 0].tolist()
    ((4, 6, 3), [1.0, 0.0, 0.0])

    Raises FileError, which is a CaffeError and an OSError, for a file that is missing, a GIF or of another kind than
    caffe.inputs.images.PHOTOGRAPHS, or too large; TypeError for what is no file. Addresses of the net are file names like others:
    nothing is fetched.
    """
    import skimage.io  # here, because it takes a second to import and most programs load no image
    from skimage.util import img_as_float32

    name = str(filename if isinstance(filename, str | os.PathLike) else getattr(filename, "name", "the image"))
    if not isinstance(filename, str | os.PathLike) and not hasattr(filename, "read"):
        raise TypeError(f"filename must be a path or an open binary file, not {type(filename).__name__}")
    try:
        if isinstance(filename, str | os.PathLike):
            content = read_bytes(filename, MAX_IMAGE_FILE)
        else:
            content = filename.read(MAX_IMAGE_FILE)
        opened(content, _KINDS)
        return _channels_last(img_as_float32(skimage.io.imread(BytesIO(content), as_gray=not color)), color)
    except FileNotFoundError:
        raise FileError(f"{name}: no such file") from None
    except MemoryError as error:
        raise FileError(f"{name}: is too large for the memory that there is: {error}") from error
    except Exception as error:  # decoders fail in many ways
        raise FileError(f"{name}: is not an image that can be read: {error}") from error


def _channels_last(image: np.ndarray, color: bool) -> np.ndarray:
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.ndim != 3 or image.shape[2] > 4:
        raise FileError(f"its shape {image.shape} is neither grey nor colour")
    if image.shape[2] in (2, 4):
        image = image[:, :, :-1]
    return np.tile(image, (1, 1, 3)) if color and image.shape[2] == 1 else image


def resize_image(im: np.ndarray, new_dims: tuple[int, int], interp_order: int = 1) -> np.ndarray:
    """Resize H x W x K to new_dims = (height, width) by spline interpolation of order `interp_order`; returns float32.

    For 1 and 3 channels the values keep their range, whatever it is; other K go through scipy's zoom, as in pycaffe.
    Raises ValueError for arrays of other axes and for empty ones.

    >>> import caffe, numpy as np
    >>> row = np.array([[[0.0], [20.0], [40.0], [60.0]]])
    >>> caffe.io.resize_image(row, (1, 2))[0, :, 0].tolist()
    [10.0, 50.0]
    """
    import skimage.transform
    from scipy import ndimage

    im = array("im", im, None)
    if im.ndim != 3 or not im.size:
        raise ValueError(
            f"an image is H x W x K, not of shape {im.shape}; a grey one becomes that by im[:, :, np.newaxis]"
        )
    height, width = (integer("new_dims", d, 1, _MOST_PIXELS) for d in new_dims)
    interp_order = integer("interp_order", interp_order, 0, 5)
    if im.shape[-1] not in (1, 3):
        if im.dtype in (np.float16, np.bool_):  # scipy takes none
            im = im.astype(np.float32)
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
    """A caffe_pb2.BlobProto's data (or diff) as a float array of its shape; four axes where it has num, channels, height, width.

    >>> import caffe
    >>> from caffe.proto import caffe_pb2
    >>> caffe.io.blobproto_to_array(caffe_pb2.BlobProto(num=1, channels=1, height=1, width=2, data=[5, 6]))
    array([[[[5., 6.]]]])
    """
    instance("blob", blob, Message)
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    values = double if len(double) else single
    data = np.fromiter(values, dtype=float, count=len(values))
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return data.reshape(blob.num, blob.channels, blob.height, blob.width)
    return data.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """An array of any number of axes as a caffe_pb2.BlobProto; `diff`, of the same shape, goes into its diff.

    >>> import caffe, numpy as np
    >>> blob = caffe.io.array_to_blobproto(np.eye(2), diff=np.ones((2, 2)))
    >>> list(blob.shape.dim), list(blob.data), list(blob.diff)
    ([2, 2], [1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    """
    blob = caffe_pb2.BlobProto()
    if np.size(arr) > _MOST_VALUES:
        raise ValueError(f"a message holds at most {_MOST_VALUES} numbers, not {np.size(arr)}")
    values = array("arr", arr, np.float64)
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.ravel().tolist())
    if diff is not None:
        blob.diff.extend(array("diff", diff, np.float64).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[np.ndarray]) -> bytes:
    """Arrays as a serialized caffe_pb2.BlobProtoVector.

    >>> import caffe, numpy as np
    >>> message = caffe.io.arraylist_to_blobprotovector_str([np.ones(2), np.zeros((1, 2))])
    >>> caffe.io.blobprotovector_str_to_arraylist(message)
    [array([1., 1.]), array([[0., 0.]])]
    """
    if len(arraylist) > _MOST_ARRAYS or sum(np.size(arr) for arr in arraylist) > _MOST_VALUES:
        raise ValueError(f"a message holds at most {_MOST_VALUES} numbers in {_MOST_ARRAYS} arrays")
    return bytes(caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString())


def blobprotovector_str_to_arraylist(content: bytes) -> list[np.ndarray]:
    """The arrays of a serialized caffe_pb2.BlobProtoVector. Raises CaffeError if it is none."""
    try:
        return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(content).blobs]
    except (DecodeError, ValueError) as error:
        raise CaffeError(f"not a BlobProtoVector: {error}") from error


def oversample(images: Sequence[np.ndarray] | np.ndarray, crop_dims: Sequence[int]) -> np.ndarray:
    """Ten crops of each H x W x K image, as pycaffe's caffe.io.oversample: corners, centre, and their mirror images.

    crop_dims: (height, width) of a crop. Returns 10 N x height x width x K, float32, the ten crops of an image together. Raises
    ValueError if the images differ in shape or are smaller than the crop.

    >>> import caffe, numpy as np
    >>> crops = caffe.io.oversample([np.arange(9).reshape(3, 3, 1)], (2, 2))
    >>> crops.shape, crops[4, :, :, 0].tolist()  # the centre
    ((10, 2, 2, 1), [[0.0, 1.0], [3.0, 4.0]])
    >>> crops[9, :, :, 0].tolist()  # and its mirror image
    [[1.0, 0.0], [4.0, 3.0]]
    """
    if len(images) == 0:
        raise ValueError("oversample needs at least one image")
    shape = np.shape(images[0])
    height, width = (integer("crop_dims", d) for d in crop_dims)
    # The images of an array have one shape: it may be a view of billions of them.
    differ = not isinstance(images, np.ndarray) and any(np.shape(image) != shape for image in images)
    if len(shape) != 3 or differ:
        raise ValueError(
            f"oversample takes images H x W x K of one shape, not {[np.shape(image) for image in images[:4]]} ..."
        )
    below, right = shape[0] - height, shape[1] - width
    if below < 0 or right < 0 or height < 1 or width < 1:
        raise ValueError(f"a crop of {height} x {width} does not fit into an image of {shape[0]} x {shape[1]}")
    corners = [(0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)]
    crops = np.empty((len(images), 10, height, width, shape[2]), np.float32)
    pictures = np.asarray(images)
    for number, (top, left) in enumerate(corners):
        crops[:, number] = pictures[:, top : top + height, left : left + width]
    crops[:, 5:] = crops[:, :5, :, ::-1]
    return crops.reshape(-1, height, width, shape[2])


class Transformer:
    """pycaffe's caffe.io.Transformer: what turns an image into a net's input, per input blob.

    inputs: {blob name: its shape N x C x H x W}. `preprocess` does, in this order, and only what was set: resizing to H x W,
    transposing, swapping channels, raw_scale, mean subtraction, input_scale. Naming a blob that is not among the inputs raises
    CaffeError; so does an order of the wrong length. set_mean raises ValueError for a mean that does not fit, preprocess for an
    image that does not.

    >>> import caffe, numpy as np
    >>> transformer = caffe.io.Transformer({"data": (1, 3, 2, 2)})
    >>> transformer.set_transpose("data", (2, 0, 1))
    >>> transformer.set_channel_swap("data", (2, 1, 0))
    >>> transformer.set_raw_scale("data", 255)
    >>> transformer.set_mean("data", np.array([103.0, 116.0, 123.0]))
    >>> image = np.full((2, 2, 3), (1.0, 0.4, 0.0))  # RGB
    >>> transformer.preprocess("data", image)[:, 0, 0].tolist()
    [-103.0, -14.0, 132.0]
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        instance("inputs", inputs, Mapping)
        self.inputs = {name: tuple(integer(f"shape of '{name}'", d) for d in shape) for name, shape in inputs.items()}
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _check(self, in_: str) -> None:
        instance("in_", in_, str)
        if in_ not in self.inputs:
            raise CaffeError(f"{in_} is not one of the net inputs: {', '.join(self.inputs)}")

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Make an image (H x W x K, for the usual transpose) into the input of blob `in_`: C x H x W, float32, a new array."""
        self._check(in_)
        values = np.array(array("data", data))
        channels, *size = self.inputs[in_][1:]
        order = self.transpose.get(in_)
        if len(size) != 2 or (order is not None and values.ndim != len(order)):
            raise ValueError(
                f"input '{in_}' of shape {self.inputs[in_]} takes no image of shape {values.shape}; a grey one, H x W, becomes "
                "H x W x 1 by image[:, :, np.newaxis] or load_image(..., color=False)"
            )
        if list(values.shape[:2]) != size:
            values = resize_image(values, (size[0], size[1]))
        if order is not None:
            values = values.transpose(order)
            if len(values) != channels:
                raise ValueError(
                    f"an image of {len(values)} channel(s) does not fit input '{in_}', which takes {channels}"
                )
        if in_ in self.channel_swap:
            values = values[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            values *= self.raw_scale[in_]
        if in_ in self.mean:
            values -= self.mean[in_]
        if in_ in self.input_scale:
            values *= self.input_scale[in_]
        return values

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Undo preprocess but for the resizing: from C x H x W (axes of length 1 are dropped) back to an image."""
        self._check(in_)
        values = np.array(array("data", data)).squeeze()
        if in_ in self.input_scale:
            values /= self.input_scale[in_]
        if in_ in self.mean:
            values += self.mean[in_]
        if in_ in self.raw_scale:
            values /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            values = values[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return values

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Order the axes so: (2, 0, 1) makes H x W x K into K x H x W."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise CaffeError("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Order the channels (axis 0 after transposing) so: (2, 1, 0) makes RGB into BGR."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise CaffeError("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Multiply by this before the mean is subtracted: 255 for images that were loaded as 0..1 and means in 0..255."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Subtract this: one number per channel, or an image C x H x W (H x W for one channel), resized if its size differs."""
        self._check(in_)
        mean = np.asarray(mean)
        channels, *size = self.inputs[in_][1:]
        if mean.ndim == 1:
            if len(mean) != channels:
                raise ValueError("Mean channels incompatible with input.")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3:
                raise ValueError("Mean shape invalid")
            if mean.shape[0] != channels:
                raise ValueError("Mean channels incompatible with input.")
            if list(mean.shape[1:]) != size:
                mean = resize_image(mean.transpose(1, 2, 0), (size[0], size[1])).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Multiply by this after the mean is subtracted."""
        self._check(in_)
        self.input_scale[in_] = scale
