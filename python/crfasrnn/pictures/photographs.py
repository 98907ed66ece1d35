"""Reading photographs of any kind into one form, and writing pictures whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import write_bytes
from caffe.inputs.images import opened
from caffe.inputs.limits import MAX_IMAGE_FILE, MAX_PIXELS
from caffe.inputs.opencv import cv2
from caffe.inputs.reading import read_bytes

_TURNED_KINDS = ("JPEG", "PNG", "WEBP")

# What names a photograph in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MASK_SUFFIXES = (*SUFFIXES, ".gif")
"""What names a mask in a folder of any kinds of masks."""

_ORIENTATION = 0x0112  # EXIF's tag


def read_image(path: str | os.PathLike[str], upright: bool = True) -> np.ndarray:
    """Read a photograph as H x W x 3 uint8 in BGR order.

    Grey images get three equal channels, palettes are looked up, 16-bit values lose their lower byte, alpha is dropped.
    upright: turn the picture as its EXIF data asks, in JPEG, PNG and WebP files; False reads it as stored.
    Raises CaffeError if the file is missing, empty, damaged, of another kind than caffe.inputs.images.PHOTOGRAPHS, or has more
    than MAX_PIXELS pixels.
    """
    data = _checked(path)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # one rule for all commands: _turned
    try:
        with _quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as problem:
        raise FileError(f"cannot read image {str(path)!r}: {problem.err}") from problem
    if image is None:
        raise FileError(f"cannot read image {str(path)!r}: not an image, damaged, or of an unknown kind")
    return np.ascontiguousarray(_turned(image, _orientation(data)) if upright else image)


def is_turned(path: str | os.PathLike[str]) -> bool:
    """Whether read_image turns or mirrors the photograph by its EXIF data; False if the file cannot be read."""
    try:
        return _orientation(read_bytes(path, MAX_IMAGE_FILE)) != 1
    except OSError:
        return False


def exif_remark(path: str | os.PathLike[str], upright: bool) -> str:
    """What a message about a photograph's size adds if its EXIF data may be why; else nothing."""
    if not is_turned(path):
        return ""
    if upright:
        return " (turned as its EXIF data asks; --exif ignore takes it as stored)"
    return " (as stored; --exif apply turns it as its EXIF data asks)"


def _orientation(data: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = opened(data, _TURNED_KINDS).getexif().get(_ORIENTATION, 1)
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


def _checked(path: str | os.PathLike[str]) -> bytes:
    """The file's bytes, of which Pillow says that all is there: OpenCV would complain beside our message, or return a part."""
    try:
        data = read_bytes(path, MAX_IMAGE_FILE)
        if not data:
            raise CaffeError("the file is empty")
        opened(data).load()
    except CaffeError as problem:
        raise FileError(f"cannot read image {str(path)!r}: {problem}") from problem
    except OSError as problem:
        reason = problem.strerror or f"damaged or truncated ({problem})"
        raise FileError(f"cannot read image {str(path)!r}: {reason}") from problem
    except Exception as problem:  # decoders fail in many ways
        raise FileError(f"cannot read image {str(path)!r}: damaged or truncated ({problem})") from problem
    return data


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    logging: Any = cv2.utils.logging  # type: ignore[attr-defined]
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def photographs_in(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The photographs of a folder, sorted."""
    return [path for path in sorted(folder.iterdir()) if is_photograph(path, suffixes)]


def is_photograph(path: Path, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Whether it is called like one: by one of the suffixes in any case; hidden files, among them macOS's "._x.jpg", and folders
    are none."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and not path.is_dir()


def refuse_picture_as_folder(output: Path) -> None:
    """Raise CaffeError for a folder of results that is to be made and is called like a picture: one file was meant, it seems."""
    if output.suffix.lower() in SUFFIXES and not output.is_dir():
        raise CaffeError(
            f"{str(output)!r}: the results go to a folder, which is not called {output.suffix}, by their photographs' names"
        )


def resized(height: int, width: int, max_side: int) -> tuple[int, int]:
    """(width, height) with the larger side reduced to `max_side`; smaller images keep their size."""
    factor = min(1.0, max_side / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def check_image(image: np.ndarray, grey: bool = False) -> None:
    """Raise CaffeError unless it is H x W x 3 uint8 (or, `grey`, H x W) of 1 to MAX_PIXELS pixels: OpenCV dies of others."""
    wanted = "H x W x 3 or H x W" if grey else "H x W x 3"
    if not isinstance(image, np.ndarray):
        raise CaffeError(f"expected an {wanted} uint8 image, got {type(image).__name__}")
    fits = (image.ndim == 3 and image.shape[2] == 3) or (grey and image.ndim == 2)
    if not fits or image.dtype != np.uint8 or not image.size:
        raise CaffeError(f"expected an {wanted} uint8 image, got {image.dtype} of shape {image.shape}")
    _check_size(image)


def _check_size(image: np.ndarray) -> None:
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise CaffeError(f"the image has {image.shape[1]} x {image.shape[0]} pixels; at most {MAX_PIXELS} are taken")


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an H x W x 3 BGR or H x W grey uint8 picture in the format of the suffix, or raise CaffeError."""
    check_image(image, grey=True)
    # In two steps: OpenCV cannot take every name that a file may have, and dies of some.
    suffix = Path(path).suffix
    if not suffix.isascii():
        raise FileError(f"cannot write image {str(path)!r}: {suffix!r} is no format")
    try:
        fine, content = cv2.imencode(suffix, np.ascontiguousarray(image))
    except cv2.error as problem:
        raise FileError(f"cannot write image {str(path)!r}: {problem.err}") from problem
    if not fine:
        raise FileError(f"cannot write image {str(path)!r}")
    write_bytes(path, content.tobytes())
