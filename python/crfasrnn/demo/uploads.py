"""What visitors give: photographs, masks, probability maps and scribbles, within the page's limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe.errors import CaffeError
from caffe.inputs.arguments import integer, number
from caffe.inputs.images import opened
from caffe.inputs.reading import read_bytes
from crfasrnn.classes import VOID
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image
from crfasrnn.postprocessing.probabilities import read_probabilities

MAX_BYTES = 32 << 20
"""Of one file."""

MAX_PHOTOGRAPH = 24_000_000
"""Pixels of a photograph: telephones take 12 to 24 millions."""

MAX_LABELS = 8
"""Labels that scribbles may have."""

_MAX_POINTS = 200_000


def photograph(path: str | os.PathLike[str]) -> np.ndarray:
    """An uploaded photograph, H x W x 3 uint8 BGR, upright. Raises CaffeError, one sentence without the folder's name."""
    with _told(path):
        _check_size(path)
        return read_image(path)


def _check_size(path: str | os.PathLike[str]) -> None:
    """Raise CaffeError for a photograph that is whole but larger than the page takes."""
    data = read_bytes(path, MAX_BYTES)
    try:
        header = opened(data)
    except CaffeError:
        return  # read_image says what is wrong
    if header.width * header.height > MAX_PHOTOGRAPH:
        raise CaffeError(
            f"{str(path)!r} is too large: it has {header.width} x {header.height} pixels, the page takes up to "
            f"{MAX_PHOTOGRAPH // 1_000_000} millions"
        )


def mask(path: str | os.PathLike[str], height: int, width: int) -> np.ndarray:
    """An uploaded mask of a photograph of that size, H x W uint8 labels, 255 where unknown.

    Values 0 and 255 alone are an object, which becomes label 1, on background.
    Raises CaffeError for another size, and as crfasrnn.pictures.label_maps.read_labels.
    """
    with _told(path):
        labels = read_labels(path)
        if labels.shape != (height, width):
            raise CaffeError(
                f"{str(path)!r} has {labels.shape[1]} x {labels.shape[0]} pixels, but the photograph {width} x {height}: a "
                "mask has the photograph's size"
            )
        values = np.unique(labels).tolist()
        if values == [0, VOID]:
            return (labels == VOID).astype(np.uint8)
        if len(values) == 1:
            raise CaffeError(f"{str(path)!r} is {values[0]} everywhere: there is nothing to start from")
        return labels


def probabilities(path: str | os.PathLike[str], most: int) -> np.ndarray:
    """Uploaded probabilities, C x h x w float32. Raises CaffeError for more than `most` numbers, and as read_probabilities."""
    with _told(path):
        if Path(path).suffix.lower() not in (".npy", ".npz"):
            raise CaffeError(f"{str(path)!r} is no probability map: save C x H x W as .npy or .npz (numpy.save)")
        planes = read_probabilities(path)
        if planes.size > most:
            raise CaffeError(
                f"{str(path)!r} is too large: {' x '.join(map(str, planes.shape))} are {planes.size:,} numbers, the page takes "
                f"up to {most:,}"
            )
        return planes


def scribbles(strokes: Any, height: int, width: int) -> np.ndarray:
    """Strokes drawn on the page as labels, height x width uint8, 255 where nothing is drawn; later ones lie on earlier ones.

    strokes: a list of {"label": 0 .. MAX_LABELS - 1, or 255 to erase; "size": width of the brush; "points": [x, y, x, y, ...]},
        lengths in parts of the picture's width.
    Raises CaffeError for anything else.
    """
    labels = np.full((height, width), VOID, np.uint8)
    if not isinstance(strokes, list) or not all(isinstance(stroke, dict) for stroke in strokes):
        raise CaffeError("these are no scribbles of the page")
    if sum(len(_points(stroke)) for stroke in strokes) > _MAX_POINTS:
        raise CaffeError("these are no scribbles of the page")
    for stroke in strokes:
        try:
            label = integer("label", stroke.get("label"), 0, VOID)
            size = number("size", stroke.get("size"))
            points = np.array(_points(stroke), np.float64).reshape(-1, 2)
        except (TypeError, ValueError) as problem:
            raise CaffeError(f"these are no scribbles of the page: {problem}") from problem
        if MAX_LABELS <= label < VOID or not 0 < size <= 1 or not len(points) or not (np.abs(points) <= 4).all():
            raise CaffeError("these are no scribbles of the page: a stroke is out of range")
        thickness = max(1, round(size * width))
        at = np.round(points * width).astype(np.int32)
        cv2.polylines(labels, [at[:, None]], False, label, thickness)
        for x, y in (at[0], at[-1]):
            cv2.circle(labels, (int(x), int(y)), thickness // 2, label, cv2.FILLED)
    return labels


def _points(stroke: dict[str, Any]) -> list[Any]:
    points = stroke.get("points")
    return points if isinstance(points, list) else []


@contextmanager
def _told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors call the file by its name: its folder is ours."""
    name = os.fspath(path)
    try:
        yield
    except CaffeError as problem:
        raise problem.retold(str(problem).replace(repr(name), repr(Path(name).name))) from problem
    except OSError as problem:
        raise CaffeError(f"{Path(name).name!r}: {problem.strerror or problem}") from problem
