"""Cross-validated search for the settings of dense CRF post-processing on labelled images.

Widths and weights of the kernels are drawn at random from wide ranges (log-uniform), then the best ones are varied, one number
at a time and in both directions, by steps that halve when nothing improves. The score is the mean IU over all images. Every
setting's confusion matrices are kept, one per fold, so that the held-out score comes for free: for each fold, the setting that
is best on the other folds is scored on it. (Which settings were tried at all has seen every fold; with many images and five
numbers that matters little.)
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from caffe.errors import CaffeError
from caffe.files import write_text
from caffe.logs.progress_bar import progress
from crfasrnn.evaluation import metrics
from crfasrnn.many import Failure, Pool
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.record import Record
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax

# Field and place in it -> the range that the search draws from.
RANGES = {
    ("spatial", 0): (1.0, 10.0),
    ("spatial", 1): (0.5, 20.0),
    ("bilateral", 0): (10.0, 200.0),
    ("bilateral", 1): (2.0, 50.0),
    ("bilateral", 2): (0.5, 20.0),
}
_FIRST_STEP, _LAST_STEP = 1.6, 1.05  # factors


class LabelledImage(Protocol):
    """What the search needs of an image: crfasrnn.datasets.Example has it."""

    @property
    def name(self) -> str: ...

    def image(self) -> np.ndarray: ...

    def labels(self) -> np.ndarray: ...

    def exif_remark(self) -> str: ...

    def label_remark(self, labels: np.ndarray, classes: int) -> str: ...


@dataclass(frozen=True)
class Sample:
    """An image with its truth, and the file of its class probabilities."""

    example: LabelledImage
    probabilities: Path

    @property
    def name(self) -> str:
        """The image's."""
        return self.example.name


@dataclass(frozen=True)
class Result:
    """What a search found.

    settings: the best on all images.
    mean_iu: theirs, on the images they were chosen on.
    held_out: the mean IU when the settings for each fold are chosen on the others.
    without_crf: the mean IU of the most probable labels as they are.
    evaluated: how many settings were scored.
    """

    settings: CrfSettings
    mean_iu: float
    held_out: float
    without_crf: float
    evaluated: int

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, which `crfasrnn densecrf --settings` reads."""
        content = {
            "settings": self.settings.to_json(),
            "mean_iu": self.mean_iu,
            "held_out_mean_iu": self.held_out,
            "mean_iu_without_crf": self.without_crf,
            "evaluated": self.evaluated,
        }
        write_text(path, json.dumps(content, indent=1) + "\n")


def search(
    samples: Sequence[Sample],
    record: str | os.PathLike[str],
    *,
    coarse: int = 50,
    fine: int = 50,
    folds: int = 5,
    iterations: Sequence[int] = (5, 10),
    seed: int = 1,
    processes: int = 1,
) -> Result:
    """Search for the settings with the highest mean IU.

    Args:
        samples: at least as many as folds; all with the same number of classes, labels 0 .. C-1 and 255.
        record: a JSON lines file of what was evaluated; a search that was stopped goes on from there.
        coarse, fine: how many settings to draw, and at most how many to try around the best.
        folds: of the cross-validation, at least 2.
        iterations: the numbers of mean-field iterations to draw from.
        seed: of folds and draws.
        processes: to share the images among, see crfasrnn.many.Pool.

    Raises:
        CaffeError: a file cannot be read, sizes or classes differ, or the record is of another search.
    """
    if folds < 2 or len(samples) < folds:
        raise CaffeError(f"{len(samples)} images cannot be put into {folds} folds: at least 2 folds of one image")
    if coarse < 0 or fine < 0 or processes < 1 or not iterations or min(iterations) < 1:
        raise CaffeError("coarse and fine must be at least 0, processes and all iterations at least 1")
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(len(samples)) % folds
    names = hashlib.sha256("\n".join(sample.example.name for sample in samples).encode()).hexdigest()
    classes = len(read_probabilities(samples[0].probabilities))
    search_of = {"images": len(samples), "names": names, "classes": classes, "folds": folds, "seed": seed}
    evaluated = Record(record, search_of, (folds, classes, classes))
    total = 2 + coarse + fine
    with Pool(processes) as pool, progress(total=total, what="tune", unit="setting") as bar:

        def score(settings: CrfSettings) -> float:
            if settings not in evaluated:
                counts = np.zeros((folds, classes, classes), np.int64)
                for fold, confusion in zip(fold_of, pool.run(partial(_confusion, settings, classes), samples)):
                    if isinstance(confusion, Failure):  # settings are compared on the same images
                        raise CaffeError(confusion.reason)
                    counts[fold] += confusion
                evaluated.add(settings, counts)
            bar.update()
            bar.set_postfix(mean_iu=f"{100 * evaluated.best()[1]:.2f}")
            return evaluated.score(settings)

        plain = CrfSettings(iterations=0)
        for settings in (plain, CrfSettings(), *_drawn(rng, coarse, iterations)):
            score(settings)
        _climb(score, evaluated.best(), fine)
    best, mean_iu = evaluated.best()
    return Result(best, mean_iu, evaluated.held_out(), evaluated.score(plain), len(evaluated))


def _drawn(rng: np.random.Generator, count: int, iterations: Sequence[int]) -> list[CrfSettings]:
    low, high = np.log(list(RANGES.values())).T
    numbers = np.exp(rng.uniform(low, high, (count, len(RANGES))))
    return [_settings(row, int(rng.choice(iterations))) for row in numbers]


def _settings(numbers: Sequence[float], iterations: int) -> CrfSettings:
    """From numbers in the order of RANGES; four digits, so that a setting is found again in the record."""
    a, b, c, d, e = (float(f"{number:.4g}") for number in numbers)
    return CrfSettings((a, b), (c, d, e), iterations)


def _climb(score: Callable[[CrfSettings], float], start: tuple[CrfSettings, float], budget: int) -> None:
    """Score what lies one step from the best, on every axis, and go on from the best of that."""
    (best, value), step = start, _FIRST_STEP
    while budget > 0 and step > _LAST_STEP and best.iterations > 0:
        at = [getattr(best, field)[place] for field, place in RANGES]
        around = [
            _settings([*at[:k], at[k] * factor, *at[k + 1 :]], best.iterations)
            for k in range(len(at))
            for factor in (step, 1 / step)
        ][:budget]
        budget -= len(around)
        scores = [score(settings) for settings in around]
        if max(scores) > value:
            best, value = around[int(np.argmax(scores))], max(scores)
        else:
            step = math.sqrt(step)


def _confusion(settings: CrfSettings, classes: int, sample: Sample) -> np.ndarray:
    """The confusion matrix of one image with these settings."""
    name = sample.example.name
    image, probabilities = sample.example.image(), read_probabilities(sample.probabilities)
    if probabilities.shape != (classes, *image.shape[:2]):
        raise CaffeError(
            f"{name}: the probabilities in {str(sample.probabilities)!r} are {probabilities.shape}, the photograph needs "
            f"{(classes, *image.shape[:2])}{sample.example.exif_remark()}"
        )
    truth, labels = sample.example.labels(), settings.labels(image, unary_from_softmax(probabilities))
    try:
        return metrics.confusion_matrix(truth, labels, classes)
    except ValueError as problem:
        raise CaffeError(f"{name}: {problem}{sample.example.label_remark(truth, classes)}") from problem
