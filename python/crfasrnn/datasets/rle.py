"""Masks of MS COCO's annotations as arrays: run lengths, plain and compressed, and polygons.

pycocotools writes and reads outside of its arrays when runs do not fill the mask, so runs are decoded here; polygons go
through pycocotools, whose rule for the pixels on an outline defines the data set, after their points were checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe.inputs.arguments import integer
from caffe.inputs.limits import MAX_PIXELS

_LONGEST_OUTLINE = 1_000_000.0  # pixels; pycocotools keeps five points for each


def decode_rle(counts: Any, height: int, width: int) -> np.ndarray:
    """H x W bool of run lengths as rle_runs takes them."""
    return _decoded(rle_runs(counts, height, width), height, width)


def decode_polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    """H x W bool of polygons as polygon_runs takes them."""
    return _decoded(polygon_runs(polygons, height, width), height, width)


def _decoded(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    mask = np.zeros((width, height), bool)
    fill(mask.reshape(-1), runs, True)
    return mask.T


def fill(columns: np.ndarray, runs: Sequence[int], value: int) -> None:
    """Set the ones of a mask in an image of H * W pixels, column by column, to `value`."""
    at = 0
    for zeros, ones in zip(runs[::2], runs[1::2]):
        at += zeros
        columns[at : at + ones] = value
        at += ones


def rle_runs(counts: Any, height: int, width: int) -> list[int]:
    """Run lengths of a mask, which go down the columns and start with the zeros.

    counts: a list of integers, or COCO's string of them. Raises ValueError unless they fill the mask exactly, and for a mask of
    no pixel or too many.
    """
    _check_size(height, width)
    runs = _string_runs(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= height * width for run in runs):
        raise ValueError("run lengths must be integers from 0 to the number of pixels")
    if sum(runs) != height * width:
        raise ValueError(f"the run lengths cover {sum(runs)} pixels, the image has {height} x {width}")
    return runs


def _string_runs(text: str) -> list[int]:
    """The run lengths in a string: base 32, lowest digits first, from the fourth on as differences to the one before last."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 40:
            raise ValueError(f"{character!r} is out of place in a string of run lengths")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a string of run lengths is cut off")
    return runs


def polygon_runs(polygons: Any, height: int, width: int) -> list[int]:
    """Run lengths of the union of polygons [x0, y0, x1, y1, ...] in pixels; one or two points enclose nothing.

    Raises ValueError for lists that are not polygons in or near the image, and for an image of no pixel or too many.
    """
    from pycocotools import mask

    _check_size(height, width)
    if not isinstance(polygons, list):
        raise ValueError("neither polygons nor run lengths")
    for polygon in polygons:
        _check_polygon(polygon, height, width)
    areas = [[float(value) for value in polygon] for polygon in polygons if len(polygon) >= 6]
    if not areas:
        return [height * width]
    union = mask.merge(mask.frPyObjects(areas, height, width))
    return _string_runs(union["counts"].decode("ascii"))


def _check_size(height: int, width: int) -> None:
    """pycocotools counts in 32 bits, and trusts that what it is told fits in them."""
    height, width = integer("height", height, -(2**31)), integer("width", width, -(2**31))
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"masks have 1 to {MAX_PIXELS} pixels, not {height} x {width}")


def _check_polygon(polygon: Any, height: int, width: int) -> None:
    if not isinstance(polygon, list) or not polygon or len(polygon) % 2:
        raise ValueError("a polygon must be a list of points, x and y in turn")
    if not all(type(value) in (int, float) and math.isfinite(value) for value in polygon):
        raise ValueError("a polygon has coordinates that are not numbers")
    xs, ys = polygon[::2], polygon[1::2]
    if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
        raise ValueError(f"a polygon lies far outside the image of {height} x {width}")
    if _outline(xs) + _outline(ys) > _LONGEST_OUTLINE:
        raise ValueError("a polygon winds through the image without end")


def _outline(values: Sequence[float]) -> float:
    return float(np.abs(np.diff([*values, values[0]])).sum())
