"""Masks as people have them, in colours, in black and white, or as numbers in any kind of picture, made label PNGs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder, refuse_to_overwrite, unfinished_folder
from caffe.inputs.images import opened
from caffe.inputs.limits import MAX_IMAGE_FILE
from caffe.inputs.reading import read_bytes
from caffe.logs.wording import counted
from crfasrnn.classes import write_classes
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.palettes import Palette, words

CLASSES = "classes.txt"
_UNKNOWN = -1


@dataclass(frozen=True)
class Mask:
    """A mask that was read: labels, H x W uint8; and of the pixels whose colours were not in the palette how many there were, and
    how far the furthest was from the colour that it was taken for (Euclidean, in RGB values)."""

    labels: np.ndarray
    replaced: int = 0
    furthest: float = 0.0


def read_mask(path: str | os.PathLike[str], palette: Palette | None = None, nearest: bool = False) -> Mask:
    """Read the labels that a mask shows: by the colour of every pixel, or without a palette by its number.

    Any kind of caffe.inputs.images.PHOTOGRAPHS will do. With a palette, greys are colours, too, and alpha is dropped. Without
    one, palette and grey pictures give their values, coloured ones the grey that all pixels must then have; a JPEG, which does
    not keep numbers, is refused.
    nearest: take a colour that is not in the palette for the nearest of it (the first of several), as masks need that were
        scaled or stored as JPEG.
    Raises CaffeError if the file cannot be read, and for a pixel without a label, which it names with its colour.
    """
    try:
        with opened(read_bytes(path, MAX_IMAGE_FILE)) as picture:
            if palette is not None:
                return _looked_up(_colours(picture), palette, nearest, picture.format == "JPEG")
            return Mask(_numbers(picture))
    except Exception as problem:  # decoders fail in many ways
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise FileError(f"cannot read mask {str(path)!r}: {reason}") from problem


def _colours(picture: Image.Image) -> np.ndarray:
    """H x W x 3 uint8 RGB."""
    if picture.mode.startswith(("I", "F")):
        return np.repeat(_bytes(picture)[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"))


def _looked_up(colours: np.ndarray, palette: Palette, nearest: bool, lossy: bool) -> Mask:
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    codes = red << 16 | green << 8 | blue
    table = np.full(1 << 24, _UNKNOWN, np.int16)
    for colour, label in palette.labels:
        table[int.from_bytes(bytes(colour), "big")] = label
    labels = table[codes]
    other = labels == _UNKNOWN
    if not other.any():
        return Mask(labels.astype(np.uint8))
    foreign = np.unique(codes[other])
    places, distances = _nearest(np.stack([foreign >> 16, foreign >> 8 & 255, foreign & 255], axis=1), palette)
    if not nearest:
        row, column = np.argwhere(other)[0]
        first = int(np.searchsorted(foreign, codes[row, column]))
        _refuse(colours, (row, column), other, len(foreign), palette.labels[places[first]], palette, lossy)
    table[foreign] = np.array([label for _, label in palette.labels], np.int16)[places]
    return Mask(table[codes].astype(np.uint8), int(other.sum()), float(distances.max()))


def _nearest(colours: np.ndarray, palette: Palette) -> tuple[np.ndarray, np.ndarray]:
    """Of N x 3 colours: the place of the nearest in the palette, and the distance to it."""
    places, distances = np.zeros(len(colours), np.int64), np.full(len(colours), np.inf)
    for place, colour in enumerate(palette.colours().astype(np.int64)):
        distance = np.sqrt(((colours - colour) ** 2).sum(1))
        closer = distance < distances
        places[closer], distances[closer] = place, distance[closer]
    return places, distances


def _refuse(
    colours: np.ndarray,
    pixel: tuple[int, int],
    other: np.ndarray,
    kinds: int,
    nearest: tuple[Sequence[int], int],
    palette: Palette,
    lossy: bool,
) -> NoReturn:
    label = nearest[1]
    name = palette.names[label] if label < len(palette.names) else "void"
    raise FileError(
        f"row {pixel[0]}, column {pixel[1]} has the colour {words(colours[pixel].tolist())}, which is not in palette "
        f"{palette.title!r} ({counted(int(other.sum()), 'pixel')} of {counted(kinds, 'such colour')}; nearest to it is {name}, "
        f"{words(nearest[0])}): add the colour, or let --nearest take the nearest"
        f"{', as a JPEG needs, since it changes colours' if lossy else ''}"
    )


def _numbers(picture: Image.Image) -> np.ndarray:
    """H x W uint8."""
    if picture.format == "JPEG":
        raise FileError(
            "it is a JPEG, which does not keep numbers: save it as PNG, or say by a palette what is nearest"
        )
    if picture.mode.startswith(("I", "F")):
        return _bytes(picture)
    if picture.mode in ("P", "L", "1"):
        return np.array(picture, dtype=np.uint8)
    if picture.mode in ("LA", "PA"):
        return np.array(picture, dtype=np.uint8)[..., 0]
    colours = _colours(picture)
    coloured = (colours != colours[..., :1]).any(2)
    if coloured.any():
        row, column = np.argwhere(coloured)[0]
        raise FileError(
            f"row {row}, column {column} has the colour {words(colours[row, column].tolist())}, and no palette says what it means: "
            "--palette FILE (or voc) does"
        )
    return colours[..., 0]


def _bytes(picture: Image.Image) -> np.ndarray:
    """A grey picture of more than 8 bits a pixel, whose values must be labels all the same."""
    values = np.array(picture)
    wrong = ~((values >= 0) & (values <= 255)) | (values != np.round(values))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FileError(f"row {row}, column {column} has the value {values[row, column]}; labels are 0 to 255")
    return values.astype(np.uint8)


def convert_masks(
    files: Sequence[Path], output: Path, palette: Palette | None = None, nearest: bool = False, ending: str = ""
) -> Iterator[Mask]:
    """Write x.png, a label map, for every mask x.*, and with a palette classes.txt; yields the masks as they are read.

    The files are in the folder when the last mask was taken: all of them, or after an error none.
    palette, nearest: see read_mask. ending: what the names of the masks have behind those of the photographs, e.g. "_mask".
    Raises CaffeError as read_mask does, if a name does not end so, two masks would be one, or a mask would be overwritten.
    """
    names = [_name(file, ending) for file in files]
    _check_different(files, names)
    targets = [output / name for name in names]
    refuse_to_overwrite([*targets, output / CLASSES], [*files, *([Path(palette.title)] if palette is not None else [])])
    with unfinished_folder(output) as made:
        for file, name in zip(files, names):
            mask = read_mask(file, palette, nearest)
            write_labels(made / name, mask.labels, None if palette is None else palette.shown())
            yield mask
        if palette is not None:
            write_classes(made / CLASSES, palette.names)
        make_folder(output)
        for path in made.iterdir():
            os.replace(path, output / path.name)


def _name(file: Path, ending: str) -> str:
    stem = file.stem.removesuffix(ending)
    if not stem or (ending and stem == file.stem):
        raise CaffeError(f"the name of mask {str(file)!r} does not end with {ending!r} behind a photograph's")
    return f"{stem}.png"


def _check_different(files: Sequence[Path], names: Sequence[str]) -> None:
    first: dict[str, Path] = {}
    for file, name in zip(files, names):
        if first.setdefault(name, file) != file:
            raise CaffeError(f"{str(first[name])!r} and {str(file)!r} would both become {name!r}")
