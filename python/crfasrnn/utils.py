"""Unary energies and features for crfasrnn.densecrf, under the names of pydensecrf.utils."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.inputs.arguments import array, integer, number

Array = npt.NDArray[Any]


def unary_from_labels(labels: npt.ArrayLike, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Array:
    """Energies for labels that are right with probability `gt_prob`, all others sharing the rest.

    Args:
        labels: integers of any shape, N in all.
        n_labels: number of labels M >= 2; with `zero_unsure`, the label 0 is not one of them.
        gt_prob: between 0 and 1, exclusive.
        zero_unsure: 0 means "not known" (all labels alike likely), and the values 1..M mean the labels 0..M-1.

    Returns:
        (M, N) float32.

    Raises:
        ValueError: an argument is outside its range, or a label is.

    >>> import numpy as np
    >>> from crfasrnn.utils import unary_from_labels
    >>> np.exp(-unary_from_labels(np.array([[1, 2, 0]]), 2, gt_prob=0.8)).round(2)  # 0: not known
    array([[0.8, 0.2, 0.5],
           [0.2, 0.8, 0.5]], dtype=float32)
    """
    gt_prob, n_labels = number("gt_prob", gt_prob), integer("n_labels", n_labels)
    if not 0 < gt_prob < 1:
        raise ValueError(f"gt_prob must be in (0, 1), got {gt_prob}")
    if n_labels < 2:
        raise ValueError(f"there must be at least 2 labels, got {n_labels}")
    flat = array("labels", labels, np.int64).ravel()
    unsure = flat == 0 if zero_unsure else np.zeros(flat.shape, bool)
    chosen = flat - 1 if zero_unsure else flat
    wrong = ~unsure & ((chosen < 0) | (chosen >= n_labels))
    if wrong.any():
        first = int(zero_unsure)
        raise ValueError(f"label {flat[np.argmax(wrong)]} is not one of {first} to {n_labels - 1 + first}")
    probabilities = np.full((n_labels, flat.size), (1 - gt_prob) / (n_labels - 1))
    known = np.flatnonzero(~unsure)
    probabilities[chosen[known], known] = gt_prob
    probabilities[:, unsure] = 1 / n_labels
    return (-np.log(probabilities)).astype(np.float32)


def unary_from_softmax(sm: npt.ArrayLike, scale: float | None = None, clip: float | None = 1e-5) -> Array:
    """Energies -log p from probabilities.

    Args:
        sm: (M, ...) probabilities of M labels, N variables in all.
        scale: in (0, 1]: mix the probabilities with the uniform distribution in the ratio scale to 1 - scale. None: do not.
        clip: the least probability, since log(0) is infinite. None: do not clip.

    Returns:
        (M, N) float32.

    Raises:
        ValueError: scale is outside (0, 1].

    >>> import numpy as np
    >>> from crfasrnn.utils import unary_from_softmax
    >>> probabilities = np.array([[[0.5, 0.9]], [[0.5, 0.1]]], np.float32)  # two classes, one row of two pixels
    >>> unary_from_softmax(probabilities).round(2)
    array([[0.69, 0.11],
           [0.69, 2.3 ]], dtype=float32)
    """
    probabilities = array("sm", sm, None)
    if not probabilities.size:
        raise ValueError(f"sm must be (labels, ...), not of shape {probabilities.shape}")
    count = probabilities.shape[0]
    if scale is not None:
        scale = number("scale", scale)
        if not 0 < scale <= 1:
            raise ValueError(f"scale must be in (0, 1], got {scale}")
        probabilities = scale * probabilities + (1 - scale) / count
    if clip is not None:
        clip = number("clip", clip)
        probabilities = np.clip(probabilities, clip, 1.0)
    with np.errstate(divide="ignore"):
        return (-np.log(probabilities)).reshape(count, -1).astype(np.float32)


def compute_unary(labels: npt.ArrayLike, M: int, GT_PROB: float = 0.5) -> Array:
    """pydensecrf's old name of unary_from_labels."""
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: npt.ArrayLike, GT_PROB: float = 1) -> Array:
    """pydensecrf's old name of unary_from_softmax, without clipping."""
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> Array:
    """Positions on a grid as features for addPairwiseEnergy: coordinates along the axes of `shape`, in that order.

    Args:
        sdims: a standard deviation for each axis, in grid steps.
        shape: of the grid, any number of axes, N points in all.

    Returns:
        (axes, N) float32.

    Raises:
        ValueError: sdims and shape have different lengths.

    >>> from crfasrnn.utils import create_pairwise_gaussian
    >>> create_pairwise_gaussian(sdims=(2, 2), shape=(2, 3))
    array([[0. , 0. , 0. , 0.5, 0.5, 0.5],
           [0. , 0.5, 1. , 0. , 0.5, 1. ]], dtype=float32)
    """
    if len(sdims) != len(shape):
        raise ValueError(f"there must be one standard deviation per axis, got {len(sdims)} for {len(shape)}")
    grid = tuple(integer("shape", length, 0, 2**31 - 1) for length in shape)
    positions = np.indices(grid, np.float32).reshape(len(shape), -1)
    return positions / array("sdims", sdims)[:, None]


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: npt.ArrayLike, chdim: int = -1
) -> Array:
    """Positions and channels of an image of any number of axes as features for addPairwiseEnergy.

    Args:
        sdims: a standard deviation for each axis of the grid.
        schan: standard deviation of the channels, one number or one per channel.
        img: the image, N points in all.
        chdim: which axis of `img` has the channels; -1 if none has and the image is one channel itself.

    Returns:
        (axes + channels, N) float32.

    Raises:
        ValueError: sdims or schan do not fit the image.

    >>> import numpy as np
    >>> from crfasrnn.utils import create_pairwise_bilateral
    >>> grey = np.array([[[10], [30]]])
    >>> create_pairwise_bilateral(sdims=(2, 2), schan=(5,), img=grey, chdim=2)
    array([[0. , 0. ],
           [0. , 0.5],
           [2. , 6. ]], dtype=float32)
    """
    image = array("img", img)
    chdim = integer("chdim", chdim, -image.ndim, image.ndim - 1)
    channels = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    deviations = array("schan", schan)
    if deviations.shape not in ((), (len(channels),)):
        raise ValueError(f"schan must be one number or {len(channels)}, one per channel, got {deviations.shape}")
    positions = create_pairwise_gaussian(sdims, channels.shape[1:])
    values = channels.reshape(len(channels), -1) / deviations.reshape(-1, 1)
    return np.concatenate([positions, values])
