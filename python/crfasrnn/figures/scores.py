"""Mean IU of methods beside each other: as bars, and over the number of mean-field iterations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from crfasrnn.figures.canvas import new_figure, save_figure


def draw_iterations(path: str | os.PathLike[str], series: Mapping[str, Sequence[float]], trained: int | None) -> None:
    """Write mean IU (fractions) over the number of mean-field iterations in testing, 1, 2, ...; one line for each title.

    trained: number of iterations in training, which is marked.
    """
    figure, axes = new_figure(1, 1, 6, 4)
    ax = axes[0, 0]
    for title, values in series.items():
        ax.plot(range(1, len(values) + 1), [100 * value for value in values], "o-", markersize=4, label=title)
    if trained is not None:
        ax.axvline(trained, color="grey", linestyle=":", label="as in training")
    ax.set(xlabel="mean-field iterations in testing", ylabel="mean IU, %")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    save_figure(figure, path)


def draw_rows(path: str | os.PathLike[str], rows: Mapping[str, Sequence[float]]) -> None:
    """Write mean IU (fractions) of each row as a bar, the mean over its seeds, with a dot for each seed."""
    figure, axes = new_figure(1, 1, 8, 1 + 0.4 * len(rows))
    ax = axes[0, 0]
    for place, values in enumerate(rows.values()):
        ax.barh(place, 100 * float(np.mean(values)), 0.6, color="tab:blue", alpha=0.5)
        ax.plot([100 * value for value in values], [place] * len(values), "ko", markersize=3)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.invert_yaxis()
    lowest = min(min(values) for values in rows.values())
    ax.set_xlim(left=max(0, 100 * lowest - 10))
    ax.set_xlabel("mean IU, % (dots: seeds)")
    save_figure(figure, path)
