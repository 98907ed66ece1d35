"""Reading photographs of any kind into one form, and writing pictures whole or not at all."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, WebPImagePlugin

from caffe.errors import CaffeError
from caffe.files import atomic_path

MAX_PIXELS = 80_000_000  # a header may promise any size; what it promises is allocated

# OpenCV's own complaints about these formats go to stderr beside our message, or (before OpenCV 5) it returns the part
# of the picture that was there; Pillow says quietly whether the file is whole.
_EXIF_FORMATS = ("JPEG", "PNG", WebPImagePlugin.WebPImageFile.format)  # importing it registers it
_ORIENTATION = 0x0112

_CHECKED_FORMATS = {"JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM"}


def read_image(path: str | os.PathLike[str], upright: bool = True) -> np.ndarray:
    """Read a photograph as H x W x 3 uint8 in BGR order.

    Grey images get three equal channels, palettes are looked up, 16-bit values lose their lower byte, alpha is dropped.
    upright: turn the picture as its EXIF data asks, in JPEG, PNG and WebP files; False reads it as stored.
    Raises CaffeError if the file is missing, empty, damaged, no image, or has more than MAX_PIXELS pixels.
    """
    data = _read_bytes(Path(path))
    _check_header(path, data)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # one rule for all commands: _turned
    try:
        with _quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as problem:
        raise CaffeError(f"cannot read image {str(path)!r}: {problem.err}") from problem
    if image is None:
        raise CaffeError(f"cannot read image {str(path)!r}: not an image, damaged, or of an unknown kind")
    return np.ascontiguousarray(_turned(image, _orientation(io.BytesIO(data))) if upright else image)


def is_turned(path: str | os.PathLike[str]) -> bool:
    """Whether read_image turns or mirrors the photograph by its EXIF data; False if the file cannot be read."""
    return _orientation(path) != 1


def exif_remark(path: str | os.PathLike[str], upright: bool) -> str:
    """What a message about a photograph's size adds if its EXIF data may be why; else nothing."""
    if not is_turned(path):
        return ""
    if upright:
        return " (turned as its EXIF data asks; --exif ignore takes it as stored)"
    return " (as stored; --exif apply turns it as its EXIF data asks)"


def _orientation(file: str | os.PathLike[str] | io.BytesIO) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=_EXIF_FORMATS) as header:
                value = header.getexif().get(_ORIENTATION, 1)
        except Exception:  # parsers fail in many ways, and viewers show such files as stored
            return 1
    return value if value in range(1, 9) else 1


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """The stored H x W x 3 picture as EXIF's orientation 1 .. 8 asks: 5 to 8 change rows for columns first."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image[:, ::-1] if orientation in (2, 3, 6, 7) else image


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise CaffeError(f"cannot read image {str(path)!r}: {problem.strerror}") from problem
    if not data:
        raise CaffeError(f"cannot read image {str(path)!r}: the file is empty")
    return data


def _check_header(path: str | os.PathLike[str], data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as problem:
            raise CaffeError(f"image {str(path)!r} is too large: {problem}") from problem
        except Exception:  # a format that Pillow does not know, and OpenCV may; parsers fail in many ways
            return
        width, height = header.size
        if width * height > MAX_PIXELS:
            raise CaffeError(f"image {str(path)!r} has {width} x {height} pixels; at most {MAX_PIXELS} are read")
        if header.format in _CHECKED_FORMATS:
            try:
                header.load()
            except Exception as problem:
                raise CaffeError(f"cannot read image {str(path)!r}: damaged or truncated ({problem})") from problem


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    logging: Any = cv2.utils.logging  # type: ignore[attr-defined]
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def resized(height: int, width: int, max_side: int) -> tuple[int, int]:
    """(width, height) with the larger side reduced to `max_side`; smaller images keep their size."""
    factor = min(1.0, max_side / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an H x W x 3 BGR or H x W grey uint8 picture in the format of the suffix, or raise CaffeError."""
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise CaffeError(f"cannot write image {str(path)!r}")
