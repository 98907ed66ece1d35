"""Curves of trainings: the one reader of their logs, and loss, mean IU and the CRF's weights over the iterations."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import FileError
from caffe.inputs.reading import open_regular
from crfasrnn.crf.caffemodel import MATRICES
from crfasrnn.figures.canvas import new_figure, save_figure

# Of the text log: "... Iteration 3 (3 iter/s, 0s/3 iters), loss = 306.537", a run's last "... Iteration 12, loss = 319.707", and
# what `crfasrnn train` adds, "... Iteration 12, mean IU = 0.5717".
_LINE = re.compile(r"\] +Iteration (?P<iteration>\d+)(?: \([^)]*\))?, (?P<what>loss|mean IU) = (?P<value>\S+)\s*$")


_COLUMNS = 4  # of panels


@dataclass(frozen=True)
class Curves:
    """What a training's log tells: iteration -> loss, and iteration -> mean IU (a fraction) on the test net's images.

    crf: iteration -> "spatial", "bilateral", "compatibility" -> the diagonal of that matrix, C floats; empty without a CRF.
    """

    loss: dict[int, float]
    mean_iu: dict[int, float]
    crf: dict[int, dict[str, list[float]]] = field(default_factory=dict)


def read_events(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The events of a training's log in order: objects with "event" and what belongs to it.

    The log is JSON lines (`crfasrnn train`, `caffe train -log_json`), or Caffe's own text, which tells of events "train", with
    "iteration" and "loss", and "validation", with "iteration" and "mean_iu". Lines that are cut off or of another kind do not
    count. Raises CaffeError if the file cannot be read.
    """
    try:
        with open_regular(path) as file, TextIOWrapper(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                event = _of_json(line) if line.startswith("{") else _of_text(line)
                if event is not None:
                    yield event
    except OSError as problem:
        raise FileError(f"cannot read log {os.fspath(path)!r}: {problem.strerror}") from problem


def _of_json(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _of_text(line: str) -> dict[str, Any] | None:
    found = _LINE.search(line)
    if found is None:
        return None
    kind, name = ("train", "loss") if found["what"] == "loss" else ("validation", "mean_iu")
    return {"event": kind, "iteration": found["iteration"], name: found["value"]}


def read_curves(path: str | os.PathLike[str]) -> Curves:
    """The curves of a log, see read_events; where a resumed run repeats iterations the later count.

    Values that are not finite are left out. Raises CaffeError if the file cannot be read.
    """
    curves = Curves({}, {})
    kinds = {"train": (curves.loss, "loss"), "validation": (curves.mean_iu, "mean_iu")}
    for event in read_events(path):
        if event["event"] == "crf":
            _add_crf(event, curves.crf)
            continue
        try:
            curve, name = kinds[event["event"]]
            iteration, value = int(event["iteration"]), float(event[name])
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
        if math.isfinite(value):
            curve[iteration] = value
    return curves


def _add_crf(event: dict[str, Any], crf: dict[int, dict[str, list[float]]]) -> None:
    try:
        found = {name: [float(value) for value in event[name]] for name in MATRICES}
        iteration = int(event["iteration"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return
    if all(values and all(map(math.isfinite, values)) for values in found.values()):
        crf[iteration] = found


def speed(log: Path) -> float | None:
    """Iterations per second of a training, the median of what its JSON log says; None without a log."""
    if not log.is_file():
        return None
    found = [event.get("iterations_per_second") for event in read_events(log) if event["event"] == "train"]
    rates = [float(rate) for rate in found if rate]
    return float(np.median(rates)) if rates else None


def seconds(log: Path) -> float:
    """How long a training took, all its sessions together, by its JSON log. Raises CaffeError without a log."""
    return sum(float(event.get("seconds", 0)) for event in read_events(log) if event["event"] == "session")


def smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the values, narrower at both ends."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(half, np.minimum(index, len(values) - 1 - index))
    return (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)


def draw_training(path: str | os.PathLike[str], trainings: Sequence[tuple[str, Curves]]) -> None:
    """Write the loss and, where it was measured, the mean IU of each titled training over its iterations, one panel each.

    Points are the losses as logged; the line is their mean over a window of a twentieth of the run. Below, where there is a CRF,
    its kernels' weights and compatibilities: the means over the classes, and in a band from the lowest to the highest.
    """
    columns = min(len(trainings), _COLUMNS)
    deep = 1 + any(curves.crf for _, curves in trainings)
    rows = deep * -(-len(trainings) // columns)
    figure, axes = new_figure(rows, columns, 1 + 5 * columns, 1 + 3 * rows)
    for ax in axes.flat:
        ax.set_visible(False)
    for index, (title, curves) in enumerate(trainings):
        above = axes[deep * (index // columns), index % columns]
        _draw_loss(above, title, curves)
        if curves.crf:
            _draw_crf(axes[deep * (index // columns) + 1, index % columns], curves.crf)
    save_figure(figure, path)


def _draw_loss(ax: Any, title: str, curves: Curves) -> None:
    ax.set_visible(True)
    iterations = np.array(sorted(curves.loss), np.int64)
    losses = np.array([curves.loss[iteration] for iteration in iterations.tolist()])
    ax.plot(iterations, losses, ".", color="tab:blue", alpha=0.3, markersize=3)
    ax.plot(iterations, smoothed(losses), color="tab:blue", linewidth=1)
    ax.set(title=title, xlabel="iteration", ylabel="loss")
    ax.grid(alpha=0.3)
    if curves.mean_iu:
        right = ax.twinx()
        values = [100 * value for value in curves.mean_iu.values()]
        right.plot(list(curves.mean_iu), values, "o-", color="tab:orange", markersize=4)
        right.set_ylabel("mean IU on the test images, %", color="tab:orange")
        right.set_ylim(0, 1.05 * max(*values, 1))


def _draw_crf(ax: Any, crf: dict[int, dict[str, list[float]]]) -> None:
    ax.set_visible(True)
    iterations = sorted(crf)
    for name, colour in zip(MATRICES, ("tab:green", "tab:red", "tab:gray")):
        sign = -1 if name == MATRICES[-1] else 1  # the layer stores minus one for Potts
        values = sign * np.array([crf[iteration][name] for iteration in iterations])
        ax.fill_between(iterations, values.min(1), values.max(1), color=colour, alpha=0.15, linewidth=0)
        ax.plot(iterations, values.mean(1), color=colour, label=name if sign > 0 else f"minus {name}")
    ax.set(xlabel="iteration", ylabel="the CRF's weights (diagonals)")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
