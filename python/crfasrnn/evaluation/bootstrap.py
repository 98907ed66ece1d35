"""Confusion matrices image by image, and what they tell about the difference of two models (paired bootstrap)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path
from caffe.inputs.arrays import read_npz

_TOGETHER = 500  # resamples


@dataclass(frozen=True)
class ImageConfusions:
    """N images by name, the classes' names, and a confusion matrix for each image: N x C x C integers, rows true."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    matrices: np.ndarray

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz with arrays `names`, `classes` and `confusion`."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                names=np.array(self.names),
                classes=np.array(self.classes),
                confusion=self.matrices.astype(np.int32),
            )

    @staticmethod
    def load(path: str | os.PathLike[str]) -> ImageConfusions:
        """Read what save wrote. Raises CaffeError if the file is missing, damaged or something else."""
        arrays = read_npz(path, ("names", "classes", "confusion"))
        names, classes, matrices = (arrays[name] for name in ("names", "classes", "confusion"))
        shape = (names.size, classes.size, classes.size)
        if names.ndim != 1 or classes.ndim != 1 or names.dtype.kind != "U" or classes.dtype.kind != "U":
            raise FileError(f"{os.fspath(path)!r}: names and classes are not lists of names")
        if matrices.shape != shape or matrices.dtype.kind not in "iu" or matrices.min(initial=0) < 0:
            raise FileError(f"{os.fspath(path)!r}: expected {shape} counts, found {matrices.dtype} of {matrices.shape}")
        return ImageConfusions(tuple(names.tolist()), tuple(classes.tolist()), matrices)


@dataclass(frozen=True)
class Comparison:
    """Mean IU of two models on the same images, and their difference (second minus first) with a percentile interval.

    All as fractions. level: of the interval. worse: share of the resamples in which the second is not better.
    differences: of each pair of trainings on all images, in order; one if there is one training of each.
    """

    first: float
    second: float
    low: float
    high: float
    level: float
    worse: float
    images: int
    resamples: int
    differences: tuple[float, ...] = ()

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


def compare(
    first: ImageConfusions,
    second: ImageConfusions,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    over: Sequence[int] | None = None,
) -> Comparison:
    """Paired bootstrap over images (Efron and Tibshirani 1993, chapters 8 and 13) of the difference of mean IU, over all classes or
    over those of the numbers `over`.

    Each resample draws N images with replacement, adds up the confusion matrices of both models over the same draw, and
    takes the difference of their mean IU; the interval is the central `level` of these. The seed fixes the draws.
    Raises CaffeError if the images, their order or the classes differ, or a number is out of range.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.bootstrap import ImageConfusions, compare
    >>> names, classes = ("first.jpg", "second.jpg"), ("background", "cat")
    >>> good, better = np.array([[6, 2], [1, 1]]), np.array([[7, 1], [0, 2]])
    >>> result = compare(
    ...     ImageConfusions(names, classes, np.stack([good, good])), ImageConfusions(names, classes, np.stack([good, better]))
    ... )
    >>> result.images, result.low <= result.difference <= result.high
    (2, True)
    >>> round(result.difference, 3)
    0.138
    """
    return compare_runs([[first]], [[second]], resamples, level, seed, over)


def compare_runs(
    first: Sequence[Sequence[ImageConfusions]],
    second: Sequence[Sequence[ImageConfusions]],
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    over: Sequence[int] | None = None,
) -> Comparison:
    """The same of two methods that were trained several times: a hierarchical bootstrap over networks, trainings and images.

    first, second: for every network that trainings started from, in the same order, the confusions of each training, paired by
        place; a method that was done once for each network is paired with all of the other's trainings.
    A resample draws networks, of each a number of its trainings, and images, all with replacement, the same for both methods; its
    difference is the mean over the trainings. Of few networks or trainings the interval is too narrow: n of them show only
    (n - 1) / n of their variance.

    >>> import numpy as np
    >>> from crfasrnn.evaluation.bootstrap import ImageConfusions, compare_runs
    >>> def result(right: int) -> ImageConfusions:
    ...     return ImageConfusions(("a.jpg",), ("background", "cat"), np.array([[[right, 10 - right], [10 - right, right]]]))
    >>> found = compare_runs([[result(5)]], [[result(6), result(8)]])
    >>> [round(difference, 3) for difference in found.differences]
    [0.095, 0.333]
    >>> round(found.difference, 3), round(found.low, 3), round(found.high, 3)
    (0.214, 0.095, 0.333)
    """
    pairs = [_paired(mine, yours) for mine, yours in zip(first, second, strict=True)]
    every = [pair for network in pairs for pair in network]
    for one, other in every:
        _require_pair(one, other)
        _require_pair(every[0][0], one)
    if resamples < 1 or not 0 < level < 1:
        raise CaffeError(f"needed: at least one resample and a level between 0 and 1, not {resamples} and {level}")
    check_numbers(every[0][0].classes, over)
    scores = [np.array([_total(item, over) for item in method]) for method in zip(*every)]
    of_each = scores[1] - scores[0]
    rng, count = np.random.default_rng(seed), len(every[0][0].names)
    drawn_differences = []
    for start in range(0, resamples, _TOGETHER):
        drawn = rng.multinomial(count, np.full(count, 1 / count), min(_TOGETHER, resamples - start)).astype(np.float64)
        found = np.stack([_resampled(other, drawn, over) - _resampled(one, drawn, over) for one, other in every], 1)
        weights = _weights(rng, [len(network) for network in pairs], len(drawn))
        drawn_differences.append((found * weights).sum(1))
    # Resamples in which none of the classes occurs, neither true nor given, tell nothing.
    differences = np.concatenate(drawn_differences)
    differences = differences[~np.isnan(differences)]
    if not differences.size or np.isnan(scores).any():
        raise CaffeError("none of the classes that are to be compared occurs in these images")
    shares = np.concatenate([np.full(len(network), 1 / len(network) / len(pairs)) for network in pairs])
    tail = (1 - level) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    worse = float((differences <= 0).mean())
    before, after = (float((shares * method).sum()) for method in scores)
    pairwise = tuple(of_each.tolist())
    return Comparison(before, after, float(low), float(high), level, worse, count, resamples, pairwise)


def _paired(
    first: Sequence[ImageConfusions], second: Sequence[ImageConfusions]
) -> list[tuple[ImageConfusions, ImageConfusions]]:
    count = max(len(first), len(second))
    if {len(first), len(second)} - {1, count}:
        raise CaffeError(f"{len(first)} and {len(second)} trainings cannot be paired")
    return list(zip(list(first) * (count // len(first)), list(second) * (count // len(second))))


def _weights(rng: np.random.Generator, trainings: Sequence[int], resamples: int) -> np.ndarray:
    """Resamples x all trainings: what each counts, when networks are drawn and then trainings of each. Rows sum to one."""
    if sum(trainings) == 1:
        return np.ones((resamples, 1))
    networks = len(trainings)
    times = rng.multinomial(networks, np.full(networks, 1 / networks), resamples)
    drawn = [
        rng.multinomial(times[:, index] * count, np.full(count, 1 / count)) / count
        for index, count in enumerate(trainings)
    ]
    return np.concatenate(drawn, 1) / networks


def _total(item: ImageConfusions, over: Sequence[int] | None) -> float:
    return float(_mean_iu(item.matrices.sum(0, dtype=np.int64)[None], over)[0])


def _resampled(item: ImageConfusions, drawn: np.ndarray, over: Sequence[int] | None) -> np.ndarray:
    """Mean IU of each of the draws, R x N numbers of times that each image was drawn."""
    flat = item.matrices.reshape(len(item.names), -1).astype(np.float64)
    return _mean_iu((drawn @ flat).reshape(len(drawn), *item.matrices.shape[1:]), over)


def comparison_text(result: Comparison) -> str:
    """The comparison in per cent."""
    return (
        f"mean IU      {100 * result.first:.2f} -> {100 * result.second:.2f}\n"
        f"difference   {100 * result.difference:+.2f}  ({100 * result.level:g} % interval "
        f"{100 * result.low:+.2f} to {100 * result.high:+.2f})\n"
        f"not better   in {100 * result.worse:.2f} % of {result.resamples} resamples of {result.images} images"
    )


def check_numbers(classes: Sequence[str], over: Sequence[int] | None) -> None:
    """Raise CaffeError unless all of these are numbers of classes."""
    if over is not None and max(over) >= len(classes):
        raise CaffeError(
            f"--mean-over {max(over)}: the last of the {len(classes)} classes is {len(classes) - 1}, {classes[-1]}"
        )


def _mean_iu(confusions: np.ndarray, over: Sequence[int] | None) -> np.ndarray:
    """Mean IU of each of R x C x C matrices, over those of the classes that occur in it."""
    right = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    union = confusions.sum(1) + confusions.sum(2) - right
    if over is not None:
        right, union = right[:, list(over)], union[:, list(over)]
    occurs = union > 0
    iu = np.divide(right, union, out=np.zeros_like(right), where=occurs)
    return np.divide(iu.sum(1), occurs.sum(1), out=np.full(len(iu), np.nan), where=occurs.any(1))


def _require_pair(first: ImageConfusions, second: ImageConfusions) -> None:
    if first.classes != second.classes:
        raise CaffeError(f"the classes differ: {', '.join(first.classes)} and {', '.join(second.classes)}")
    if first.names != second.names:
        different = [f"{a!r} and {b!r}" for a, b in zip(first.names, second.names) if a != b]
        detail = different[0] if different else f"{len(first.names)} and {len(second.names)} of them"
        raise CaffeError(f"the images differ ({detail}): a paired comparison needs the same list for both")
    if not first.names:
        raise CaffeError("there are no images to compare")
