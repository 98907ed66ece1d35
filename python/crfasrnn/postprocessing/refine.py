"""Refining one result of any classifier with a dense CRF, from files to a file: the command `crfasrnn densecrf`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.classes import VOID
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import exif_remark, read_image
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_labels, unary_from_softmax


def refine_file(
    image: str | os.PathLike[str],
    prediction: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    classes: int | None = None,
    certainty: float = 0.7,
    settings: CrfSettings | None = None,
    upright: bool = True,
) -> None:
    """Write the labels of `prediction`, brought in line with the photograph, as a palette PNG.

    Args:
        image: the photograph, H x W.
        prediction: a .npy or .npz of C x H x W probabilities, or a palette or grey PNG of H x W labels, 255 where unknown.
        output: the PNG to write.
        classes: number of labels of a label map; None takes what occurs, and at least two.
        certainty: probability that a label of a label map is right, in (0, 1).
        settings: of the CRF, None for the defaults.
        upright: turn the photograph as its EXIF data asks; False takes it as stored.

    Raises:
        CaffeError: a file cannot be read or written, the sizes differ, a value is out of range, or a label map says nothing:
            it is 255 all over, or 0 and 255 with `classes` not given, as masks are whose object is 255.
    """
    photograph = read_image(image, upright)
    height, width = photograph.shape[:2]
    name = os.fspath(prediction)
    if Path(name).suffix.lower() in (".npy", ".npz"):
        probabilities = read_probabilities(name)
        energies, grid = unary_from_softmax(probabilities), probabilities.shape[1:]
    else:
        energies, grid = _from_labels(name, classes, certainty)
    if grid != (height, width):
        raise CaffeError(
            f"{name!r} is {grid[0]} x {grid[1]}, but the photograph {os.fspath(image)!r} is {height} x {width}"
            f"{exif_remark(image, upright)}"
        )
    write_labels(output, (settings or CrfSettings()).labels(photograph, energies))


def _from_labels(name: str, classes: int | None, certainty: float) -> tuple[np.ndarray, tuple[int, int]]:
    labels = read_labels(name)
    unknown = labels == VOID
    highest = int(labels[~unknown].max(initial=0))
    _check_says_something(name, unknown, highest, classes)
    if classes is not None and highest >= classes:
        raise CaffeError(f"{name!r} has the label {highest}, but there are {classes} classes")
    shifted = np.where(unknown, 0, labels.astype(np.int64) + 1)
    try:
        energies = unary_from_labels(shifted, max(2, highest + 1 if classes is None else classes), certainty)
    except ValueError as problem:
        raise CaffeError(str(problem)) from problem
    return energies, (labels.shape[0], labels.shape[1])


def _check_says_something(name: str, unknown: np.ndarray, highest: int, classes: int | None) -> None:
    """Raise CaffeError for a label map whose result would be one label, whatever the photograph shows."""
    if unknown.all():
        raise CaffeError(f"{name!r} holds nothing but {VOID}, which means unknown: there is nothing to start from")
    if classes is None and highest == 0 and unknown.any():
        raise CaffeError(
            f"{name!r} holds nothing but 0 and {VOID}, and {VOID} means unknown: if it marks an object, save that as 1; "
            "if 0 is meant to be all there is, say how many --classes there are"
        )
