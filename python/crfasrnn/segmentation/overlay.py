"""The picture that shows a result: photograph, class colours, boundaries and a legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe.inputs.opencv import cv2
from crfasrnn.pictures.photographs import check_image
from crfasrnn.segmentation.segmenter import Segmentation

OPACITY = 0.55
SMALLEST_SIDE = 320  # smaller photographs are enlarged, so that the legend stays readable and in proportion
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _INK, _FRAME = (255, 255, 255), (32, 32, 32), (160, 160, 160)


def overlay(image: np.ndarray, result: Segmentation, boundaries: bool = True) -> np.ndarray:
    """An H x W x 3 uint8 BGR photograph with its labels laid over it, above a legend of the classes that occur.

    Pixels of the background (VOC's number 0, if it has no other name) stay as they are.
    The width is the photograph's (larger if that is tiny).
    Raises CaffeError for other images, and for ones too large for OpenCV.
    """
    check_image(image)
    factor = max(1, -(-SMALLEST_SIDE // max(image.shape[:2])))
    labels = result.labels.repeat(factor, 0).repeat(factor, 1)
    size = (labels.shape[1], labels.shape[0])
    picture = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    colours = np.ascontiguousarray(result.palette[:, ::-1])  # BGR
    picture = _blend(picture, labels, colours, ~np.array(result.classes.backgrounds))
    if boundaries:
        picture[_boundary(labels, max(1, round(max(size) / 500)))] = 255
    return _with_legend(picture, [(result.classes.names[label], colours[label]) for label in result.present()])


def _blend(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, coloured: np.ndarray) -> np.ndarray:
    painted = cv2.addWeighted(image, 1 - OPACITY, colours[labels], OPACITY, 0)
    return np.where(coloured[labels][..., None], painted, image)


def _boundary(labels: np.ndarray, thickness: int) -> np.ndarray:
    """H x W bool: pixels beside another label, `thickness` pixels wide."""
    edge: Any = np.zeros(labels.shape, np.uint8)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    if thickness > 1:
        edge = cv2.dilate(edge, np.ones((thickness, thickness), np.uint8))
    result: np.ndarray = edge.astype(bool)
    return result


@dataclass(frozen=True)
class _Entry:
    """One class in the legend: where its line of text starts, and what is drawn."""

    name: str
    colour: np.ndarray
    x: int
    row: int


class _Layout:
    """Legend entries set in rows from left to right, as text is, in units of the text's height."""

    def __init__(self, width: int, height: int, classes: list[tuple[str, np.ndarray]]) -> None:
        self.text = max(10, round(0.022 * max(width, height)))
        self.scale = self.text / cv2.getTextSize("A", _FONT, 1.0, 1)[0][1]
        self.thickness = max(1, round(self.text / 11))
        self.gap, self.swatch = round(0.7 * self.text), round(1.5 * self.text)
        self.row_height = 2 * self.text + self.gap // 2
        lengths = [self._length(name) for name, _ in classes]
        self.width = max(width, max(lengths) + self.gap)
        self.entries: list[_Entry] = []
        x, row = self.gap, 0
        for (name, colour), length in zip(classes, lengths):
            if x + length > self.width and x > self.gap:
                x, row = self.gap, row + 1
            self.entries.append(_Entry(name, colour, x, row))
            x += length
        self.height = (row + 1) * self.row_height + self.gap

    def _length(self, name: str) -> int:
        """Width of swatch, text and the space after it."""
        text = cv2.getTextSize(name, _FONT, self.scale, self.thickness)[0][0]
        return int(self.swatch + self.gap // 2 + text + 2 * self.gap)


def _with_legend(picture: np.ndarray, classes: list[tuple[str, np.ndarray]]) -> np.ndarray:
    height, width = picture.shape[:2]
    layout = _Layout(width, height, classes)
    canvas = np.full((height + layout.height, layout.width, 3), _WHITE, np.uint8)
    canvas[:height, :width] = picture
    for entry in layout.entries:
        middle = height + layout.gap // 2 + entry.row * layout.row_height + layout.row_height // 2
        top = middle - layout.swatch // 2
        corner, opposite = (entry.x, top), (entry.x + layout.swatch, top + layout.swatch)
        cv2.rectangle(canvas, corner, opposite, [int(value) for value in entry.colour], cv2.FILLED)
        cv2.rectangle(canvas, corner, opposite, _FRAME, max(1, layout.thickness // 2))
        cv2.putText(
            canvas,
            entry.name,
            (entry.x + layout.swatch + layout.gap // 2, middle + layout.text // 2),
            _FONT,
            layout.scale,
            _INK,
            layout.thickness,
            cv2.LINE_AA,
        )
    return canvas
