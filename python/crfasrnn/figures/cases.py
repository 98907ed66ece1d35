"""Results side by side on images chosen by rule (the paper's Fig. 4)."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.classes import VOID, Classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.labellers import Labeller
from crfasrnn.figures.canvas import colour_patch, new_figure, save_figure
from crfasrnn.pictures.label_maps import class_palette

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
        raise CaffeError(f"{example.name}: {problem}{example.label_remark(truth, classes)}") from problem
    return float(metrics.known_mean(metrics.per_class_iu(confusion)[confusion.sum(1) > 0]))


def draw_cases(
    path: str | os.PathLike[str],
    cases: Sequence[Case],
    methods: Sequence[tuple[str, Labeller]],
    classes: Classes,
) -> None:
    """Write the cases as rows: photograph, one column for each method, truth (void white); below, the classes' colours."""
    colours = class_palette(classes)
    colours[VOID] = 255
    columns = ["input", *(title for title, _ in methods), "ground truth"]
    figure, axes = new_figure(len(cases), len(columns), 2.2 * len(columns), 1.75 * len(cases) + 0.6)
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
    patches = [colour_patch(colours[label] / 255) for label in shown]
    figure.legend(
        patches,
        [classes.names[label] for label in shown],
        loc="outside lower center",
        ncols=min(8, len(shown)),
        fontsize=8,
    )
    save_figure(figure, path)
