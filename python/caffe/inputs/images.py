"""Image files before a decoder sees them: of a kind that is meant, of a size that fits, with the pieces that they promise."""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image

from caffe.errors import FileError
from caffe.inputs.limits import MAX_PIXELS

PHOTOGRAPHS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
"""Kinds of pictures, by Pillow's names; PPM stands for PBM, PGM and PPM. Pillow, OpenCV and scikit-image know dozens more, some
of which start other programs."""

MASKS = ("PNG", "BMP", "GIF")
"""Kinds of label maps: those that keep numbers in one channel as they are."""

_PNG = b"\x89PNG\r\n\x1a\n"


def opened(data: bytes, kinds: tuple[str, ...] = PHOTOGRAPHS) -> Image.Image:
    """Pillow's image of a file's bytes, of which no pixel is decoded yet.

    Raises CaffeError unless its header is whole, names one of these kinds and promises at most MAX_PIXELS pixels; for a PNG also
    if one of its chunks is longer than the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MAX_PIXELS is stricter
            image = Image.open(io.BytesIO(data), formats=kinds)
    except Exception as problem:  # parsers fail in many ways
        if isinstance(problem, Image.DecompressionBombError):
            raise FileError(f"it is too large: {problem}") from problem
        raise FileError(f"it is not an image, damaged, or of another kind than {', '.join(kinds)}") from problem
    if image.width * image.height > MAX_PIXELS:
        raise FileError(f"it has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
    if data.startswith(_PNG):
        _check_chunks(data)
    return image


def _check_chunks(data: bytes) -> None:
    """OpenCV allocates what a chunk's length says."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if length > len(data) - at - 8:
            raise FileError(f"it is damaged: {length} bytes promised at {at}, {len(data) - at - 8} are left")
        if name == b"IEND":
            return
        at += 12 + length
