"""The colours of PASCAL VOC, and label maps as palette PNGs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from caffe.errors import FileError
from caffe.files import atomic_path
from caffe.inputs.arguments import byte_array, integer
from caffe.inputs.images import MASKS, opened
from caffe.inputs.limits import MAX_IMAGE_FILE
from caffe.inputs.reading import read_bytes
from crfasrnn.classes import VOC_CLASSES, VOID, Classes

_MADE_FROM = "crfasrnn made from"  # keyword of a text in PNG files


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
    if len(class_ids) > VOID:
        raise ValueError(f"labels stand for at most {VOID} classes, not {len(class_ids)}")
    numbers = [integer("class_ids", number, 0, VOID) for number in class_ids]
    colours[: len(numbers)] = voc_palette()[numbers]
    return colours


def class_palette(classes: Classes) -> np.ndarray:
    """256 x 3 RGB colours for label maps of these classes: their own, or VOC's by their numbers.

    Black, the colour of number 0, is for the background: another class of that number has the first colour that is free.
    """
    colours = label_palette(classes.voc_ids)
    for label, (number, background) in enumerate(zip(classes.voc_ids, classes.backgrounds)):
        if number == 0 and not background:
            colours[label] = voc_palette()[next(free for free in range(1, 256) if free not in classes.voc_ids)]
    for label, colour in enumerate(classes.colours):
        if colour is not None:
            colours[label] = colour
    return colours


def encode_labels(labels: np.ndarray, palette: np.ndarray | None = None, made_from: str | None = None) -> bytes:
    """H x W uint8 labels as a palette PNG: the pixel values are the labels, the colours those of `palette` (VOC's if None).

    made_from: is kept in the file, for the function `made_from`.

    Raises ValueError for labels that are not whole numbers of 0 to 255, H x W, and for a palette that is not 256 x 3 of them.
    """
    pixels = byte_array("labels", labels)
    colours = voc_palette() if palette is None else byte_array("palette", palette)
    if pixels.ndim != 2 or not pixels.size or colours.shape != (256, 3):
        raise ValueError(f"labels must be H x W and a palette 256 x 3, not {pixels.shape} and {colours.shape}")
    picture = Image.fromarray(pixels)
    picture.putpalette(colours.tobytes(), rawmode="RGB")
    content = io.BytesIO()
    remarks = PngInfo()
    if made_from is not None:
        remarks.add_text(_MADE_FROM, made_from)
    picture.save(content, format="PNG", optimize=True, pnginfo=remarks)
    return content.getvalue()


def write_labels(
    path: str | os.PathLike[str], labels: np.ndarray, palette: np.ndarray | None = None, made_from: str | None = None
) -> None:
    """Write labels as encode_labels makes them."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_labels(labels, palette, made_from))


def made_from(path: str | os.PathLike[str]) -> str | None:
    """What write_labels was told that the labels in a file are made from; None where nothing is told, or there is no such file."""
    try:
        with opened(read_bytes(path, MAX_IMAGE_FILE), ("PNG",)) as picture:
            told = picture.info.get(_MADE_FROM)
    except Exception:  # decoders fail in many ways
        return None
    return told if isinstance(told, str) else None


def read_labels(path: str | os.PathLike[str], class_ids: Sequence[int] | None = None) -> np.ndarray:
    """Read H x W uint8 labels from a palette or grey PNG, BMP or GIF: the pixel values, not the colours.

    class_ids: VOC's numbers of the classes that the labels 0, 1, ... are to stand for; None if they are not VOC's. A palette of
        VOC's colours must then agree with them; grey values and other palettes say nothing.

    Raises CaffeError if the file is missing, damaged, of another kind, has colours or more than MAX_PIXELS pixels, or if its
    colours say that its labels are numbered in another way.
    """
    try:
        with opened(read_bytes(path, MAX_IMAGE_FILE), MASKS) as picture:
            if picture.mode.startswith(("I", "F")):
                raise FileError(
                    f"it has more than 8 bits a pixel ({picture.mode}): save the number of every pixel's class as an 8-bit grey PNG"
                )
            if picture.mode not in ("P", "L", "1"):
                raise FileError(
                    f"it has colours ({picture.mode}), not palette or grey values: save the number of every pixel's class as "
                    "an 8-bit grey or palette PNG, as crfasrnn data masks --palette does"
                )
            labels = np.array(picture, dtype=np.uint8)
            if class_ids is not None and picture.mode == "P":
                _check_colours(labels, np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3), class_ids)
            return labels
    except Exception as problem:  # decoders fail in many ways
        raise FileError(f"cannot read label map {str(path)!r}: {problem}") from problem


def _check_colours(labels: np.ndarray, palette: np.ndarray, class_ids: Sequence[int]) -> None:
    """Raise FileError if the labels' colours in `palette`, N x 3 RGB, are all VOC's, but of other classes than class_ids."""
    known = {tuple(colour): number for number, colour in enumerate(voc_palette().tolist())}
    used = [label for label in np.unique(labels).tolist() if label < len(palette)]
    shown = {label: known.get(tuple(palette[label].tolist())) for label in used}
    wanted = dict(enumerate(class_ids[:VOID])) | {VOID: VOID}
    shown = {label: number for label, number in shown.items() if label in wanted}
    # Many programs put VOC's palette under any labels: a colour at its own number says nothing.
    wrong = [label for label, number in shown.items() if number not in (label, wanted[label])]
    if wrong and not any(number is None or len(VOC_CLASSES) <= number < VOID for number in shown.values()):
        raise FileError(
            f"its label {wrong[0]} has the colour of VOC's class {shown[wrong[0]]}, not of {wanted[wrong[0]]}: the labels are "
            "those of fewer classes (then name them by --classes), or a program that saved the picture anew has renumbered its "
            "palette (then save it without)"
        )
