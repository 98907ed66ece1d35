"""A photograph with scores of every pixel's classes, and what a CRF makes of them: the same for a network's scores and for labels
of one's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caffe.errors import CaffeError
from crfasrnn.classes import Classes
from crfasrnn.crf.functional import Kernel, mean_field_kernels
from crfasrnn.demo.controls import Controls

MARKS = (1, 2, 5, 10)  # iterations after which the page shows Q
_AT_ONCE = 10  # iterations between two looks at the clock


class Deadline:
    """The moment at which a computation is given up.

    seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    def check(self) -> None:
        """Raise CaffeError if it is past."""
        if time.monotonic() > self._ends:
            raise CaffeError(
                f"this takes longer than {self._seconds:g} seconds and was given up: try a smaller photograph, fewer classes or "
                "fewer iterations"
            )


@dataclass(frozen=True, eq=False)
class Field:
    """What a CRF starts from, at the size h x w at which it is computed.

    photograph: H x W x 3 uint8 BGR, as it was given.
    image: (1, 3, h, w) float32, the colours that the bilateral kernel compares.
    unary: (1, C, h, w) float32 scores before the soft-max.
    spatial, bilateral, compatibility: (C, C) matrices of the two kernels and of the classes.
    normalization, activation: words of crfasrnn.crf.options.
    classes: what the C classes are.
    start: h x w uint8 labels that the scores were made from, VOID where unknown; None where the scores came first.
    controls: what the sliders are to begin with.
    seconds: that the scores took.
    """

    photograph: np.ndarray
    image: Tensor
    unary: Tensor
    spatial: Tensor
    bilateral: Tensor
    compatibility: Tensor
    normalization: str
    activation: str
    classes: Classes
    start: np.ndarray | None
    controls: Controls
    seconds: float

    def refined(self, controls: Controls, deadline: Deadline, q0: Tensor | None = None, iterations: int = 0) -> Tensor:
        """Scores (1, C, h, w) after the controls' iterations, or after `iterations` from the scores `q0` on.

        Raises CaffeError if it takes too long.
        """
        scores, left = self.unary if q0 is None else q0, iterations or controls.iterations
        kernels = [
            Kernel(controls.theta_gamma, normalization=self.normalization),
            Kernel(controls.theta_alpha, self.image, controls.theta_beta, self.normalization),
        ]
        weights = [controls.spatial_weight * self.spatial, controls.bilateral_weight * self.bilateral]
        while left:
            deadline.check()
            now = min(left, _AT_ONCE)
            scores = mean_field_kernels(
                self.unary, scores, kernels, weights, self.compatibility, iterations=now, activation=self.activation,
                min_probability=controls.min_probability,
            )  # fmt: skip
            left -= now
        deadline.check()
        return scores

    def marked(
        self, controls: Controls, deadline: Deadline, marks: Sequence[int] = MARKS
    ) -> Iterator[tuple[int, Tensor]]:
        """Each number of iterations with the Q (C, h, w) after so many. Raises CaffeError if it takes too long."""
        scores, done = self.unary, 0
        for mark in sorted(marks):
            scores, done = self.refined(controls, deadline, scores, mark - done), mark
            yield mark, scores[0].softmax(0)


def image_tensor(image: np.ndarray) -> Tensor:
    """An h x w x 3 uint8 image as (1, 3, h, w) float32."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
