"""The sheet of paper: figures of matplotlib, which is loaded on first use, drawn without a screen and written in one piece."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """An empty figure of so many inches and its rows x columns axes. Raises CaffeError where matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError as problem:
        raise CaffeError("figures need matplotlib: pip install 'crfasrnn[plot]'") from problem
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")


def colour_patch(colour: np.ndarray) -> Any:
    """An entry of a legend in that colour, RGB from 0 to 1."""
    from matplotlib.patches import Patch

    return Patch(facecolor=tuple(colour.tolist()), edgecolor="grey", linewidth=0.5)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write in the format of the suffix, .png or .svg for example, and let go of it. Raises CaffeError for an unknown one."""
    from matplotlib import pyplot as plt

    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, format=Path(path).suffix[1:] or "png")
    except ValueError as problem:
        raise FileError(f"cannot write figure {os.fspath(path)!r}: {problem}") from problem
    finally:
        plt.close(figure)
