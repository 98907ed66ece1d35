"""Class probabilities of an image on disk, .npy or .npz of C x H x W floats; scores and activation maps in their place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.inputs.arguments import array as numbers
from caffe.inputs.arrays import array_names, read_npy, read_npz, write_npy
from crfasrnn.classes import VOID

MAX_CLASSES = 254

# How a file of an image's probabilities may go on behind the image's name; the last is as `crfasrnn segment` writes it.
ENDINGS = (".npy", ".npz", "_probabilities.npy")


def read_probabilities(path: str | os.PathLike[str], *, scores: bool = False) -> np.ndarray:
    """The array of a .npy file, or the only one of a .npz file: C x H x W floats in [0, 1], 2 to 254 classes.

    What the probabilities of a pixel sum to does not matter: all that use them take them as proportional.
    scores: the file holds scores before the soft-max (logits), of any size, which is applied here.
    Raises CaffeError if it cannot be read or holds something else.
    """
    name = os.fspath(path)
    array = _only_array(name) if Path(name).suffix.lower() == ".npz" else read_npy(name)
    what = "scores" if scores else "probabilities"
    if array.ndim != 3 or array.dtype.kind != "f" or not array.size:
        raise FileError(
            f"{name!r} must hold C x H x W {what} of 2 to {MAX_CLASSES} classes, found {array.shape} {array.dtype}"
        )
    if len(array) == 1:
        raise FileError(
            f"{name!r} has the score of one class alone, beside which there is nothing to choose: save both, the other's is 0, "
            "where the score goes through a sigmoid: numpy.concatenate([0 * s, s])"
            if scores
            else f"{name!r} has the probability p of one class alone, beside which there is nothing to choose: save both, "
            "numpy.concatenate([1 - p, p])"
        )
    if len(array) > MAX_CLASSES:
        raise FileError(
            f"{name!r} must hold C x H x W {what} of 2 to {MAX_CLASSES} classes, it is {' x '.join(map(str, array.shape))}"
            f"{transposed_remark(array.shape[2])}"
        )
    array = np.array(array, np.float32)
    if scores:
        return _softmax(name, array)
    if np.isnan(array).any():
        raise FileError(f"{name!r} has values that are no numbers (NaN)")
    if not _are_fractions(array):
        raise FileError(
            f"{name!r} has values outside 0 to 1: probabilities are needed, e.g. the softmax of the scores (densecrf --scores "
            "takes that)"
        )
    return array


def transposed_remark(last: int) -> str:
    """What to say of an array that may be H x W x C by its last axis; nothing where that is no number of classes."""
    return ": if that is H x W x C, save numpy.moveaxis(array, 2, 0)" if 2 <= last <= MAX_CLASSES else ""


def are_activation_maps(path: str | os.PathLike[str]) -> bool:
    """Whether it is a .npz file whose arrays are called by labels, as read_activation_maps takes. Raises CaffeError."""
    return Path(path).suffix.lower() == ".npz" and all(_is_label(name) for name in array_names(path))


def read_activation_maps(path: str | os.PathLike[str], background: float) -> tuple[np.ndarray, np.ndarray]:
    """Class-activation maps: a .npz file with one array for each class that a picture may show, H x W floats in [0, 1], called by
    its label: numpy.savez(file, **{"8": cat, "15": person}).

    background: where no array is called 0, the background's probability is (1 - the largest of the others) to this power.

    Returns:
        Labels, C integers in rising order, and C x H x W float32 which need not add up to 1.

    Raises:
        CaffeError: it cannot be read, shapes differ, or values are outside 0 to 1.
    """
    name = os.fspath(path)
    arrays = read_npz(name)
    wrong = next((label for label in arrays if not _is_label(label)), None)
    if wrong is not None:
        raise FileError(
            f"{name!r} must hold activation maps called by their labels, 0 to {VOID - 1}, found {wrong[:200]!r}"
        )
    maps = {int(label): array for label, array in arrays.items()}
    shapes = {array.shape for array in maps.values()}
    if len(shapes) != 1 or any(array.ndim != 2 or array.dtype.kind != "f" or not array.size for array in maps.values()):
        found = ", ".join(f"{label}: {array.shape} {array.dtype}" for label, array in sorted(maps.items())[:8])
        raise FileError(f"{name!r} must hold H x W floats of one size for each label, found {found or 'nothing'}")
    if list(maps) == [0]:
        raise FileError(f"{name!r} has the background's map alone, beside which there is nothing to choose")
    labels = sorted(maps)
    planes = np.array([maps[label] for label in labels], np.float32)
    if not _are_fractions(planes):
        raise FileError(
            f"{name!r} has values outside 0 to 1: divide each map by its maximum, and put 0 for what is below"
        )
    if labels[0] != 0:
        rest = (1 - planes.max(axis=0, keepdims=True)).clip(0) ** np.float32(background)
        labels, planes = [0, *labels], np.concatenate([rest, planes])
    return np.array(labels), planes


def _is_label(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= 3 and int(name) < VOID


def _are_fractions(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-3)


def _softmax(name: str, scores: np.ndarray) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise FileError(f"{name!r} has scores that are not finite")
    exponentials = np.exp(scores - scores.max(axis=0))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=0)
    return probabilities


def write_probabilities(path: str | os.PathLike[str], probabilities: np.ndarray) -> None:
    """Write C x H x W probabilities as float16 (.npy): three digits, at half the size."""
    write_npy(path, numbers("probabilities", probabilities, np.float16))


def _only_array(name: str) -> np.ndarray:
    arrays = read_npz(name)
    if len(arrays) != 1:
        raise CaffeError(f"cannot read probabilities {name!r}: {len(arrays)} arrays instead of one")
    return next(iter(arrays.values()))
