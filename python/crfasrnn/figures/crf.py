"""What the CRF learned (the paper's Fig. 5): compatibility of the classes, and weights of the kernels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.crf.caffemodel import LAYER, read_matrices
from crfasrnn.figures.canvas import new_figure, save_figure


@dataclass(frozen=True)
class CrfParameters:
    """The three C x C blobs of a MultiStageMeanfield layer."""

    spatial: np.ndarray
    bilateral: np.ndarray
    compatibility: np.ndarray


def read_crf(path: str | os.PathLike[str], layer: str = LAYER) -> CrfParameters:
    """The layer's blobs in a .caffemodel or .caffemodel.h5, float64. Raises CaffeError if it has no such layer."""
    return CrfParameters(*(matrix.astype(np.float64) for matrix in read_matrices(path, 3, layer)))


def draw_crf(path: str | os.PathLike[str], parameters: CrfParameters, names: Sequence[str]) -> None:
    """Write the learned compatibility matrix, its difference to the Potts model, and the kernel weights of each class.

    The Potts model is minus the identity, as the layer stores it: scores = unary - compatibility x messages, so a negative
    entry (row l, column l') raises the score of l where neighbours and alike pixels are l'.
    Raises CaffeError if there are not as many names as classes.
    """
    matrix = parameters.compatibility
    if len(names) != len(matrix):
        raise CaffeError(f"{len(names)} class names for {len(matrix)} classes")
    side = 2.2 + 0.28 * len(matrix)
    figure, axes = new_figure(1, 3, 3.2 * side, side)
    change = matrix + np.eye(len(matrix))
    for ax, values, title in ((axes[0, 0], matrix, "compatibility"), (axes[0, 1], change, "difference to Potts")):
        limit = max(1e-12, float(np.abs(values).max()))
        image = ax.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit)
        ax.set_title(title, fontsize=10)
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        figure.colorbar(image, ax=ax, shrink=0.8)
    positions = np.arange(len(names))
    bars = axes[0, 2]
    bars.barh(positions - 0.2, np.diag(parameters.spatial), 0.4, label="spatial")
    bars.barh(positions + 0.2, np.diag(parameters.bilateral), 0.4, label="bilateral")
    bars.set_yticks(positions, names, fontsize=8)
    bars.invert_yaxis()
    bars.set_title("kernel weights (diagonal)", fontsize=10)
    bars.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, fontsize=8)
    save_figure(figure, path)
