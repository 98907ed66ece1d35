"""A dense CRF for labels of one's own: from a photograph with a mask, scribbles or probabilities to what a CRF starts from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from caffe.errors import CaffeError
from crfasrnn.classes import VOID, Classes, numbers_of
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import Field, image_tensor
from crfasrnn.pictures.photographs import resized
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_labels, unary_from_softmax

MAX_SIDE = 640  # pixels of the image in which it is computed
MAX_SCORES = 12_000_000  # classes times pixels

_SETTINGS = CrfSettings()
CONTROLS = Controls(
    _SETTINGS.iterations, *_SETTINGS.bilateral[:2], _SETTINGS.spatial[0], _SETTINGS.bilateral[2], _SETTINGS.spatial[1]
)
"""What `crfasrnn densecrf` does where nothing is said."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A photograph and the size in which its CRF is computed.

    photograph: H x W x 3 uint8 BGR.
    image: the same, h x w x 3, its largest side at most MAX_SIDE.
    """

    photograph: np.ndarray
    image: np.ndarray

    @classmethod
    def of(cls, photograph: np.ndarray) -> Canvas:
        """The canvas of a photograph."""
        size = resized(photograph.shape[0], photograph.shape[1], MAX_SIDE)
        smaller = size != (photograph.shape[1], photograph.shape[0])
        return cls(photograph, cv2.resize(photograph, size, interpolation=cv2.INTER_AREA) if smaller else photograph)

    def of_labels(self, labels: np.ndarray, certainty: float) -> Field:
        """Labels, 0 .. C-1 and VOID where unknown, of the photograph's size or the image's.

        certainty: probability that a label is right, in (0, 1).
        Raises CaffeError for a certainty out of range, and where too little is labelled or too much has to be computed.
        """
        height, width = self.image.shape[:2]
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        known = labels != VOID
        if len(np.unique(labels[known])) < 2:
            raise CaffeError("mark at least two things, for instance the background and an object")
        count = int(labels[known].max()) + 1
        self._check(count)
        try:
            energies = unary_from_labels(np.where(known, labels.astype(np.int64) + 1, 0), count, certainty)
        except ValueError as problem:
            raise CaffeError(f"certainty must be between 0 and 1, not {certainty}") from problem
        # A label that nobody uses is none.
        energies[np.setdiff1d(np.arange(count), labels[known])] = np.inf
        return self._field(energies, labels)

    def of_probabilities(self, probabilities: np.ndarray) -> Field:
        """C x h' x w' probabilities in the photograph's proportions.

        Raises CaffeError for other proportions, and where too much has to be computed.
        """
        height, width = self.image.shape[:2]
        (rows, columns), (full_height, full_width) = probabilities.shape[1:], self.photograph.shape[:2]
        if resized(full_height, full_width, max(rows, columns)) != (columns, rows):
            raise CaffeError(
                f"the probabilities are {rows} x {columns}, which are not the proportions of the photograph, {full_height} x "
                f"{full_width}"
            )
        self._check(len(probabilities))
        planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in probabilities]
        return self._field(unary_from_softmax(np.stack(planes)), None)

    def _check(self, classes: int) -> None:
        most = MAX_SCORES // (self.image.shape[0] * self.image.shape[1])
        if classes > most:
            raise CaffeError(f"{classes} classes are too many for this photograph: the page takes up to {most}")

    def _field(self, energies: np.ndarray, start: np.ndarray | None) -> Field:
        eye = torch.eye(len(energies))
        return Field(
            photograph=self.photograph,
            image=image_tensor(
                self.image[..., ::-1]
            ),  # RGB, as pydensecrf: the lattice is not the same in another order
            unary=torch.from_numpy(-energies).reshape(1, len(energies), *self.image.shape[:2]),
            spatial=eye,
            bilateral=eye,
            compatibility=-eye,
            normalization="symmetric",
            activation="softmax",
            classes=label_classes(len(energies)),
            start=start,
            controls=CONTROLS,
            seconds=0.0,
        )


def label_classes(count: int) -> Classes:
    """What labels without names are called: 0 is the background."""
    names = ("background", *(f"label {label}" for label in range(1, count)))
    return Classes(names, numbers_of(names))
