"""Class probabilities of an image on disk: .npy or .npz of C x H x W floats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.inputs.arguments import array as numbers
from caffe.inputs.arrays import read_npy, read_npz, write_npy

MAX_CLASSES = 254

# How a file of an image's probabilities may go on behind the image's name; the last is as `crfasrnn segment` writes it.
ENDINGS = (".npy", ".npz", "_probabilities.npy")


def read_probabilities(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a .npy file, or the only one of a .npz file: C x H x W floats in [0, 1], 2 to 254 classes.

    Raises CaffeError if it cannot be read or holds something else.
    """
    name = os.fspath(path)
    array = _only_array(name) if Path(name).suffix.lower() == ".npz" else read_npy(name)
    if array.ndim != 3 or array.dtype.kind != "f" or not array.size:
        raise FileError(
            f"{name!r} must hold C x H x W probabilities of 2 to {MAX_CLASSES} classes, found {array.shape} {array.dtype}"
        )
    if len(array) == 1:
        raise FileError(
            f"{name!r} has the probability p of one class alone, beside which there is nothing to choose: save both, "
            "numpy.concatenate([1 - p, p])"
        )
    if len(array) > MAX_CLASSES:
        raise FileError(f"{name!r} must hold probabilities of 2 to {MAX_CLASSES} classes, it has {len(array)}")
    array = np.array(array, np.float32)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-3):
        raise FileError(f"{name!r} has values outside 0 to 1: probabilities are needed, e.g. the softmax of the scores")
    return array


def write_probabilities(path: str | os.PathLike[str], probabilities: np.ndarray) -> None:
    """Write C x H x W probabilities as float16 (.npy): three digits, at half the size."""
    write_npy(path, numbers("probabilities", probabilities, np.float16))


def _only_array(name: str) -> np.ndarray:
    arrays = read_npz(name)
    if len(arrays) != 1:
        raise CaffeError(f"cannot read probabilities {name!r}: {len(arrays)} arrays instead of one")
    return next(iter(arrays.values()))
