"""The paper's figures: results side by side on images chosen by rule (Fig. 4), what the CRF learned (Fig. 5), and curves."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe.errors import CaffeError
from caffe.files import atomic_path
from caffe.proto.model_file import read_model
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.evaluate import Labeller
from crfasrnn.pictures.label_maps import VOID, label_palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("largest gain", "median", "largest loss")


@dataclass(frozen=True)
class Case:
    """One chosen image: the mean IU of the first and the last method on it, and why it was chosen."""

    example: Example
    first: float
    last: float
    kind: str


def choose_cases(dataset: Dataset, first: Labeller, last: Labeller, classes: int, count: int) -> list[Case]:
    """`count` images each with the largest gain, nearest to the median, and with the largest loss of `last` over `first`.

    The measure is an image's own mean IU over the classes that its truth shows; ties go by the data set's order. Images
    without a labelled pixel do not count. Raises CaffeError if there are fewer than 3 x count images.
    """
    found: list[tuple[Example, float, float]] = []
    for example in dataset:
        truth = example.labels()
        scores = [_image_iu(example, truth, label(example), classes) for label in (first, last)]
        if not np.isnan(scores).any():
            found.append((example, scores[0], scores[1]))
    if len(found) < len(KINDS) * count:
        raise CaffeError(f"{len(KINDS) * count} images are needed to choose from, {dataset.title} has {len(found)}")
    order = np.argsort([after - before for _, before, after in found], kind="stable")
    middle = (len(found) - count) // 2
    chosen = [*order[::-1][:count], *order[middle : middle + count], *order[:count][::-1]]
    return [Case(*found[int(index)], kind=KINDS[place // count]) for place, index in enumerate(chosen)]


def _image_iu(example: Example, truth: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean IU over the classes of the truth: over all, specks of a wrong class would decide which image is chosen."""
    try:
        confusion = metrics.confusion_matrix(truth, labels, classes)
    except ValueError as problem:
        raise CaffeError(f"{example.name}: {problem}") from problem
    return float(metrics.known_mean(metrics.per_class_iu(confusion)[confusion.sum(1) > 0]))


def draw_cases(
    path: str | os.PathLike[str],
    cases: Sequence[Case],
    methods: Sequence[tuple[str, Labeller]],
    names: Sequence[str],
    class_ids: Sequence[int],
) -> None:
    """Write the cases as rows: photograph, one column for each method, truth (void white); below, the classes' colours.

    names, class_ids: of the labels 0, 1, ...; the numbers are VOC's, which give the colours.
    """
    colours = label_palette(class_ids)
    colours[VOID] = 255
    columns = ["input", *(title for title, _ in methods), "ground truth"]
    figure, axes = _figure(len(cases), len(columns), 2.2 * len(columns), 1.75 * len(cases) + 0.6)
    present: set[int] = set()
    for row, case in zip(axes, cases):
        maps = [*(label(case.example) for _, label in methods), case.example.labels()]
        present.update(*(np.unique(labels).tolist() for labels in maps))
        for ax, picture in zip(row, [case.example.image()[..., ::-1], *(colours[labels] for labels in maps)]):
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{case.kind}\n{100 * case.first:.0f} → {100 * case.last:.0f} % IU", fontsize=8)
    for ax, title in zip(axes[0], columns):
        ax.set_title(textwrap.fill(title, 24), fontsize=10)
    shown = sorted(present - {VOID})
    patches = [_patch(colours[label] / 255) for label in shown]
    figure.legend(
        patches, [names[label] for label in shown], loc="outside lower center", ncols=min(8, len(shown)), fontsize=8
    )
    _save(figure, path)


@dataclass(frozen=True)
class CrfParameters:
    """The three C x C blobs of a MultiStageMeanfield layer."""

    spatial: np.ndarray
    bilateral: np.ndarray
    compatibility: np.ndarray


def read_crf(path: str | os.PathLike[str], layer: str = "inference1") -> CrfParameters:
    """The layer's blobs in a .caffemodel or .caffemodel.h5. Raises CaffeError if it has no such layer."""
    for found in read_model(path):
        if found.name == layer and found.blobs:
            blobs = [np.squeeze(np.asarray(blob, np.float64), (0, 1)) for blob in found.blobs if np.ndim(blob) == 4]
            if len(blobs) == 3 and all(blob.shape == (len(blobs[0]), len(blobs[0])) for blob in blobs):
                return CrfParameters(*blobs)
            raise CaffeError(f"{os.fspath(path)!r}: layer {layer!r} has no three blobs of 1 x 1 x C x C")
    raise CaffeError(f"{os.fspath(path)!r} has no layer {layer!r} with weights (--layer NAME)")


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
    figure, axes = _figure(1, 3, 3.2 * side, side)
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
    _save(figure, path)


@dataclass(frozen=True)
class Curves:
    """What a training's log tells: iteration -> loss, and iteration -> mean IU on the test net's images."""

    loss: dict[int, float]
    mean_iu: dict[int, float]


def read_curves(path: str | os.PathLike[str]) -> Curves:
    """The curves of a JSON log (`crfasrnn train`, `caffe train -log_json`); where a resumed run repeats iterations the later count.

    Raises CaffeError if it cannot be read. Lines that are cut off or of another kind do not count.
    """
    curves = Curves({}, {})
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                _add_event(curves, line)
    except (OSError, UnicodeDecodeError) as problem:
        raise CaffeError(f"cannot read log {os.fspath(path)!r}: {problem}") from problem
    return curves


def _add_event(curves: Curves, line: str) -> None:
    try:
        event = json.loads(line)
        kind, iteration = event["event"], int(event["iteration"])
        if kind == "train":
            curves.loss[iteration] = float(event["loss"])
        elif kind == "validation":
            curves.mean_iu[iteration] = float(event["mean_iu"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return


def draw_training(path: str | os.PathLike[str], trainings: Mapping[str, Curves]) -> None:
    """Write the loss and, where it was measured, the mean IU of each training over its iterations, one panel each."""
    figure, axes = _figure(1, len(trainings), 1 + 5 * len(trainings), 4)
    for ax, (title, curves) in zip(axes[0], trainings.items()):
        ax.plot(list(curves.loss), list(curves.loss.values()), color="tab:blue", linewidth=1, label="loss")
        ax.set(title=title, xlabel="iteration", ylabel="loss")
        ax.grid(alpha=0.3)
        if curves.mean_iu:
            right = ax.twinx()
            values = [100 * value for value in curves.mean_iu.values()]
            right.plot(list(curves.mean_iu), values, "o-", color="tab:orange", markersize=4)
            right.set_ylabel("mean IU on the test images, %", color="tab:orange")
            right.set_ylim(0, 1.05 * max(*values, 1))
    _save(figure, path)


def draw_iterations(path: str | os.PathLike[str], series: Mapping[str, Sequence[float]], trained: int | None) -> None:
    """Write mean IU (fractions) over the number of mean-field iterations in testing, 1, 2, ...; one line for each title.

    trained: number of iterations in training, which is marked.
    """
    figure, axes = _figure(1, 1, 6, 4)
    ax = axes[0, 0]
    for title, values in series.items():
        ax.plot(range(1, len(values) + 1), [100 * value for value in values], "o-", markersize=4, label=title)
    if trained is not None:
        ax.axvline(trained, color="grey", linestyle=":", label="as in training")
    ax.set(xlabel="mean-field iterations in testing", ylabel="mean IU, %")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    _save(figure, path)


def draw_rows(path: str | os.PathLike[str], rows: Mapping[str, Sequence[float]]) -> None:
    """Write mean IU (fractions) of each row as a bar, the mean over its seeds, with a dot for each seed."""
    figure, axes = _figure(1, 1, 8, 1 + 0.4 * len(rows))
    ax = axes[0, 0]
    for place, values in enumerate(rows.values()):
        ax.barh(place, 100 * float(np.mean(values)), 0.6, color="tab:blue", alpha=0.5)
        ax.plot([100 * value for value in values], [place] * len(values), "ko", markersize=3)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.invert_yaxis()
    lowest = min(min(values) for values in rows.values())
    ax.set_xlim(left=max(0, 100 * lowest - 10))
    ax.set_xlabel("mean IU, % (dots: seeds)")
    _save(figure, path)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    try:
        import matplotlib as mpl
    except ImportError as problem:
        raise CaffeError("figures need matplotlib: pip install 'crfasrnn[plot]'") from problem
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")


def _patch(colour: np.ndarray) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=tuple(colour.tolist()), edgecolor="grey", linewidth=0.5)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write in the format of the suffix, .png or .svg for example."""
    from matplotlib import pyplot as plt

    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, format=Path(path).suffix[1:] or "png")
    except ValueError as problem:
        raise CaffeError(f"cannot write figure {os.fspath(path)!r}: {problem}") from problem
    finally:
        plt.close(figure)
