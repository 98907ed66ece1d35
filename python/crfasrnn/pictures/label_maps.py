"""The colours of PASCAL VOC, and label maps as palette PNGs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from caffe.errors import FileError
from caffe.files import atomic_path
from caffe.inputs.images import MASKS, opened
from caffe.inputs.limits import MAX_IMAGE_FILE
from caffe.inputs.reading import read_bytes


def voc_palette() -> np.ndarray:
    """The 256 x 3 uint8 RGB colours of VOC's label maps.

    The bits of an index go, lowest first, to red, green, blue, red, ...; the first round sets the highest bit of each.
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def label_palette(class_ids: Sequence[int]) -> np.ndarray:
    """256 x 3 RGB colours for label maps whose value i stands for VOC's class class_ids[i]; the rest keep VOC's."""
    colours = voc_palette()
    colours[: len(class_ids)] = voc_palette()[list(class_ids)]
    return colours


def encode_labels(labels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """H x W uint8 labels as a palette PNG: the pixel values are the labels, the colours those of `palette` (VOC's if None)."""
    picture = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint8))
    picture.putpalette((voc_palette() if palette is None else palette).tobytes(), rawmode="RGB")
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return content.getvalue()


def write_labels(path: str | os.PathLike[str], labels: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write labels as encode_labels makes them."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_labels(labels, palette))


def read_labels(path: str | os.PathLike[str]) -> np.ndarray:
    """Read H x W uint8 labels from a palette or grey PNG, BMP or GIF: the pixel values, not the colours.

    Raises CaffeError if the file is missing, damaged, of another kind, has colours or more than MAX_PIXELS pixels.
    """
    try:
        with opened(read_bytes(path, MAX_IMAGE_FILE), MASKS) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise FileError(
                    f"it has colours ({picture.mode}), not palette or grey values: save the number of every pixel's class as "
                    "an 8-bit grey or palette PNG"
                )
            return np.array(picture, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as problem:
        raise FileError(f"cannot read label map {str(path)!r}: {problem}") from problem
