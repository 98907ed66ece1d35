"""What the page shows and hands out: labels before and after the CRF, the share of each class, Q on its way."""

from __future__ import annotations

import base64
import dataclasses
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from crfasrnn.classes import VOID
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import MARKS, Deadline, Field
from crfasrnn.pictures.label_maps import class_palette, encode_labels
from crfasrnn.pictures.photographs import resized
from crfasrnn.segmentation.overlay import OPACITY, overlay
from crfasrnn.segmentation.segmenter import Segmentation, best_labels

SHOWN_SIDE = 1000  # pixels of the picture on the page
_STRIP_SIDE = 320


@dataclass(frozen=True, eq=False)
class Answer:
    """A field with what its CRF makes of it.

    scores: (1, C, h, w) after the CRF, before the soft-max.
    seconds: that the CRF took.
    pictures: what `strip` has made of it; nothing before.
    """

    field: Field
    controls: Controls
    scores: Tensor
    seconds: float
    pictures: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def marked(self, deadline: Deadline) -> Iterator[tuple[int, Tensor]]:
        """As the field has it, in any order, without computing the scores again."""
        count = self.controls.iterations
        yield from self.field.marked(self.controls, deadline, [mark for mark in MARKS if mark != count])
        if count in MARKS:
            yield count, self.scores[0].softmax(0)

    @cached_property
    def before(self) -> np.ndarray:
        """The labels without the CRF, H x W uint8; VOID where unknown."""
        return labels_of(self.field, None)

    @cached_property
    def after(self) -> np.ndarray:
        """The labels with it, H x W uint8."""
        return labels_of(self.field, self.scores)


def labels_of(field: Field, scores: Tensor | None) -> np.ndarray:
    """The most probable labels at the photograph's size, H x W uint8; of None those that the field starts from."""
    height, width = field.photograph.shape[:2]
    if scores is None and field.start is not None:
        return np.asarray(cv2.resize(field.start, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
    return best_labels((field.unary if scores is None else scores)[0].numpy(), width, height)


def answer(field: Field, controls: Controls, deadline: Deadline) -> Answer:
    """Run the CRF. Raises CaffeError if it takes too long."""
    began = time.perf_counter()
    scores = field.refined(controls, deadline)
    return Answer(field, controls, scores, time.perf_counter() - began)


# ------------------------------------------------------------------------------------------------------ what the page shows


def view(found: Answer) -> dict[str, Any]:
    """What viewer.js draws: pictures as data URLs, and the classes that occur with their shares in per cent, the largest first."""
    field = found.field
    size = resized(field.photograph.shape[0], field.photograph.shape[1], SHOWN_SIDE)
    shares = [_shares(labels, len(field.classes)) for labels in (found.before, found.after)]
    colours, backgrounds = class_palette(field.classes), field.classes.backgrounds
    order = sorted(range(len(field.classes)), key=lambda label: -shares[1][label] - shares[0][label] / 1000)
    return {
        "photograph": jpeg_url(cv2.resize(field.photograph, size, interpolation=cv2.INTER_AREA)),
        "before": _label_picture(found.before, size),
        "after": _label_picture(found.after, size),
        "classes": [
            {
                "label": label,
                "name": field.classes.names[label],
                "colour": colours[label].tolist(),
                "background": backgrounds[label],
                "before": round(shares[0][label], 2),
                "after": round(shares[1][label], 2),
            }
            for label in order
            if shares[0][label] or shares[1][label]
        ],
        "facts": {
            "network": None if field.start is not None or not field.seconds else _milliseconds(field.seconds),
            "crf": _milliseconds(found.seconds),
            "iterations": found.controls.iterations,
            "changed": _changed(field, found.scores[0]),
            "grid": [field.unary.shape[3], field.unary.shape[2]],
            "classes": field.unary.shape[1],
        },
    }


def strip(found: Answer, deadline: Deadline) -> list[dict[str, Any]]:
    """Q after fields.MARKS iterations, each as a picture in which a pixel has its classes' colours mixed by their probabilities,
    with the share of pixels that have another label by then. Raises CaffeError as answer does."""
    if not found.pictures:
        found.pictures[:] = [
            {
                "iterations": iterations,
                "picture": jpeg_url(mixed(found.field, q.numpy())),
                "changed": _changed(found.field, q),
            }
            for iterations, q in sorted(found.marked(deadline), key=lambda mark: mark[0])
        ]
    return found.pictures


def mixed(field: Field, q: np.ndarray) -> np.ndarray:
    """Q (C, h, w) as a small picture, BGR: the photograph with its classes' colours mixed by their probabilities."""
    height, width = q.shape[1:]
    size = resized(height, width, _STRIP_SIDE)
    planes = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in q], axis=-1)
    image = cv2.resize(field.photograph, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    backgrounds = np.array(field.classes.backgrounds)
    opacity = OPACITY + 0.2
    colours = class_palette(field.classes)[: len(q), ::-1].astype(np.float32)
    colours[backgrounds] = 0
    painted = (planes[..., ~backgrounds].sum(-1, keepdims=True) * opacity).clip(0, 1)
    picture = image * (1 - painted) + opacity * planes @ colours
    return picture.clip(0, 255).round().astype(np.uint8)


def _shares(labels: np.ndarray, classes: int) -> list[float]:
    """Of each class, in per cent of all pixels."""
    counts = np.bincount(labels.ravel(), minlength=VOID + 1)[:classes]
    return [float(share) for share in 100 * counts / labels.size]


def _changed(field: Field, scores: Tensor) -> float | None:
    """The share of pixels, in per cent, whose best label in scores (C, h, w) is another than without a CRF; None where not all
    had one before."""
    before = field.unary[0].argmax(0).numpy() if field.start is None else field.start
    return None if (before == VOID).any() else round(100 * float(np.mean(before != scores.argmax(0).numpy())), 1)


def _label_picture(labels: np.ndarray, size: tuple[int, int]) -> str:
    smaller = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return _url("image/png", cv2.imencode(".png", smaller)[1].tobytes())


def jpeg_url(image: np.ndarray) -> str:
    """A BGR picture as a data URL."""
    return _url("image/jpeg", cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


# ------------------------------------------------------------------------------------------------------ what is downloaded


def _labels(found: Answer) -> bytes:
    return encode_labels(found.after, class_palette(found.field.classes))


def _overlay(found: Answer) -> bytes:
    picture = overlay(found.field.photograph, Segmentation(found.after, None, found.field.classes))
    return cv2.imencode(".png", picture)[1].tobytes()


def _probabilities(found: Answer) -> bytes:
    content = io.BytesIO()
    np.save(content, found.scores[0].softmax(0).numpy().astype(np.float16))
    return content.getvalue()


DOWNLOADS: dict[str, tuple[str, Callable[[Answer], bytes]]] = {
    "Labels": ("_labels.png", _labels),
    "Overlay": ("_overlay.png", _overlay),
    "Probabilities": ("_probabilities.npy", _probabilities),
}
"""What is on the buttons: how the file's name ends, and what is in it: a palette PNG and a picture of the photograph's size, and
C x h x w float16 at the size at which the CRF was computed."""


def download(found: Answer, what: str, stem: str) -> dict[str, str]:
    """The file that a button of DOWNLOADS hands out: its name and a data URL."""
    ending, content = DOWNLOADS[what]
    return {"name": stem + ending, "url": _url("application/octet-stream", content(found))}
