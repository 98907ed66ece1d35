"""Refining one result of any classifier with a dense CRF, from files to a file: the command `crfasrnn densecrf`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.densecrf import DenseCRF2D
from crfasrnn.images import read_image
from crfasrnn.palette import read_labels, write_labels
from crfasrnn.utils import unary_from_labels, unary_from_softmax

VOID = 255


def refine_file(
    image: str | os.PathLike[str],
    prediction: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    classes: int | None = None,
    certainty: float = 0.7,
    iterations: int = 10,
    spatial: tuple[float, float] = (3.0, 3.0),
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0),
) -> None:
    """Write the labels of `prediction`, brought in line with the photograph, as a palette PNG.

    Args:
        image: the photograph, H x W.
        prediction: a .npy of C x H x W probabilities, or a palette or grey PNG of H x W labels, 255 where unknown.
        output: the PNG to write.
        classes: number of labels of a label map; None takes what occurs, and at least two.
        certainty: probability that a label of a label map is right, in (0, 1).
        iterations: of mean field.
        spatial: standard deviation of the position in pixels and weight of the kernel that compares positions.
        bilateral: standard deviations of the position in pixels and of the colours (0 to 255), and weight of that kernel.

    Raises:
        CaffeError: a file cannot be read or written, the sizes differ, or a value is out of range.
    """
    photograph = read_image(image)
    height, width = photograph.shape[:2]
    name = os.fspath(prediction)
    if Path(name).suffix.lower() == ".npy":
        energies, grid = _from_probabilities(name)
    else:
        energies, grid = _from_labels(name, classes, certainty)
    if grid != (height, width):
        raise CaffeError(
            f"{name!r} is {grid[0]} x {grid[1]}, but the photograph {os.fspath(image)!r} is {height} x {width}"
        )
    try:
        crf = DenseCRF2D(width, height, len(energies))
        crf.setUnaryEnergy(energies)
        crf.addPairwiseGaussian(sxy=spatial[0], compat=spatial[1])
        rgb = photograph[:, :, ::-1]
        crf.addPairwiseBilateral(sxy=bilateral[0], srgb=bilateral[1], rgbim=rgb, compat=bilateral[2])
        labels = crf.inference(iterations).argmax(axis=0).reshape(height, width)
    except ValueError as problem:
        raise CaffeError(str(problem)) from problem
    write_labels(output, labels)


def _from_labels(name: str, classes: int | None, certainty: float) -> tuple[np.ndarray, tuple[int, int]]:
    labels = read_labels(name)
    unknown = labels == VOID
    highest = int(labels[~unknown].max(initial=0))
    if classes is not None and highest >= classes:
        raise CaffeError(f"{name!r} has the label {highest}, but there are {classes} classes")
    shifted = np.where(unknown, 0, labels.astype(np.int64) + 1)
    try:
        energies = unary_from_labels(shifted, max(2, highest + 1 if classes is None else classes), certainty)
    except ValueError as problem:
        raise CaffeError(str(problem)) from problem
    return energies, (labels.shape[0], labels.shape[1])


def _from_probabilities(name: str) -> tuple[np.ndarray, tuple[int, int]]:
    try:
        array = np.load(name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise CaffeError(f"cannot read probabilities {name!r}: {problem}") from problem
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind != "f" or not 1 <= len(array) < VOID:
        found = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else "several arrays"
        raise CaffeError(f"{name!r} must hold C x H x W probabilities of 1 to {VOID - 1} classes, found {found}")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-3):
        raise CaffeError(
            f"{name!r} has values outside 0 to 1: probabilities are needed, e.g. the softmax of the scores"
        )
    return unary_from_softmax(array), (array.shape[1], array.shape[2])
