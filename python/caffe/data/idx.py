"""IDX files, in which MNIST is published: images and labels as bytes behind a header of big-endian numbers."""

from __future__ import annotations

import math
import os
import struct

import numpy as np
import numpy.typing as npt

from caffe.errors import FileError
from caffe.inputs.limits import MAX_IMAGE_SET
from caffe.inputs.reading import read_bytes

_GZIP = b"\x1f\x8b"
# The second half of the magic number: 8 for bytes, and how many axes there are.
_IMAGES, _LABELS = 0x0803, 0x0801


def read_images(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """The images of an IDX file such as train-images-idx3-ubyte: N x H x W.

    Raises FileError for a file that is missing, no such file, cut off, or longer than its header says.
    """
    return _read(path, _IMAGES, 3, "images")


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """The labels of an IDX file such as train-labels-idx1-ubyte: N. Raises FileError like read_images."""
    return _read(path, _LABELS, 1, "labels")


def _read(path: str | os.PathLike[str], magic: int, axes: int, what: str) -> npt.NDArray[np.uint8]:
    name = os.fspath(path)
    header_size = 4 + 4 * axes
    try:
        content = read_bytes(path, MAX_IMAGE_SET)
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror}") from error
    if content.startswith(_GZIP):
        raise FileError(f"{name}: is compressed; gunzip it first")
    if len(content) < header_size:
        raise FileError(f"{name}: has {len(content)} bytes, too few for an IDX file of {what}")
    found, *shape = struct.unpack_from(f">{1 + axes}I", content)
    if found != magic:
        raise FileError(f"{name}: Incorrect {what} file magic: it is no IDX file of {what}")
    promised = header_size + math.prod(shape)
    if len(content) != promised or not all(shape):
        stated = " x ".join(map(str, shape))
        raise FileError(
            f"{name}: its header promises {stated} bytes of {what}, {promised} bytes in all; it has {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def read_labelled(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images and their labels, N x H x W and N. Raises FileError like read_images, and where their numbers differ."""
    pixels, classes = read_images(images), read_labels(labels)
    if len(pixels) != len(classes):
        raise FileError(
            f"{os.fspath(images)} has {len(pixels)} images, {os.fspath(labels)} {len(classes)} labels: they do not go together"
        )
    return pixels, classes
