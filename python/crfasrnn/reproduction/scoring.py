"""Rows of the tables: every method labels the images once; labels, counts and scores stay on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from caffe.files import make_folder
from caffe.logs.progress_bar import progress
from crfasrnn.claims import alone_in, digest
from crfasrnn.classes import read_classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.evaluate import evaluate
from crfasrnn.evaluation.labellers import Labeller, model_labels
from crfasrnn.evaluation.scores import write_json
from crfasrnn.evaluation.voc_archive import voc_archive
from crfasrnn.pictures.label_maps import class_palette, write_labels
from crfasrnn.postprocessing.probability_cache import cached
from crfasrnn.postprocessing.search import search
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.reproduction.sweep import Sweep
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.training.job import Job
from crfasrnn.training.limits import StoppedError
from crfasrnn.utils import unary_from_softmax

CACHE_LIMIT = 16 << 30  # bytes of the probabilities of the held-out images


@dataclass(frozen=True)
class Scored:
    """The result of one method with one seed: figures as evaluate.write_json writes them, and counts image by image.

    over: the classes whose mean IU is meant, None for all.
    """

    figures: dict[str, Any]
    per_image: ImageConfusions
    over: tuple[int, ...] | None = None

    @property
    def mean_iu(self) -> float:
        """As a fraction."""
        return metrics.mean_iu(self.per_image.matrices.sum(0, dtype=np.int64), self.over)


@dataclass(frozen=True)
class Scorer:
    """Scores methods on a data set's images and keeps the results below `folder`.

    size: largest side. over: the classes whose mean IU is meant, None for all.
    stop: asked before every image whether the time is over.
    """

    folder: Path
    dataset: Dataset
    size: int
    over: tuple[int, ...] | None
    stop: Callable[[], bool]

    def is_scored(self, name: str) -> bool:
        """Whether a method's result is there."""
        return self._counts(name).is_file() and self._figures(name).is_file()

    def scored(self, name: str) -> Scored:
        """It."""
        figures = json.loads(self._figures(name).read_text(encoding="utf-8"))
        return Scored(figures, ImageConfusions.load(self._counts(name)), self.over)

    def _counts(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _figures(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def labels(self, name: str) -> Path:
        """The folder of a method's label maps."""
        return self.folder / "labels" / name

    def network(self, name: str, job: Job) -> None:
        """Score the network as it was trained. Raises StoppedError when the time is over, BusyError if somebody else does it."""
        self._score(name, job, lambda: model_labels(self._segmenter(job)))

    def dense_crf(self, name: str, job: Job, settings: CrfSettings) -> None:
        """Score the network, then the dense CRF of Krähenbühl and Koltun, each for itself; see network."""

        def labeller() -> Labeller:
            segmenter = self._segmenter(job)

            def label(example: Example) -> np.ndarray:
                image = example.image()
                probabilities = segmenter.segment(image, probabilities=True).probabilities
                assert probabilities is not None
                return settings.labels(image, unary_from_softmax(probabilities)).astype(np.uint8)

            return label

        self._score(name, job, labeller)

    def archive(self, path: Path, job: Job) -> None:
        """Write what VOC's evaluation server takes: the labels of images whose label maps nobody else has; see network."""
        make_folder(self.folder)
        with alone_in(self.folder), voc_archive(path, read_classes(job.output / "classes.txt").voc_ids) as add:
            label = model_labels(self._segmenter(job))
            for example in progress(self.dataset, what=str(path), unit="image"):
                self._go_on()
                add(example.name, label(example))

    def _score(self, name: str, job: Job, label: Callable[[], Labeller]) -> None:
        classes, labels = read_classes(job.output / "classes.txt"), self.labels(name)
        make_folder(labels)
        palette = class_palette(classes)

        def keep(image: str, result: np.ndarray) -> None:
            write_labels(labels / f"{image}.png", result, palette)
            self._go_on()

        with alone_in(labels):
            scores = replace(evaluate(label(), self.dataset, classes, trimap=True, keep=keep), over=self.over)
            assert scores.per_image is not None
            scores.per_image.save(self._counts(name))
            write_json(self._figures(name), scores)

    def _go_on(self) -> None:
        if self.stop():
            raise StoppedError

    def _segmenter(self, job: Job) -> Segmenter:
        return Segmenter(str(job.deploy), job.final, size=self.size, precision=job.precision)

    def sweep(self, names: Sequence[str], job: Job) -> None:
        """Score the network with 1, 2, ... mean-field iterations in testing, as many as there are names; see network."""
        classes = read_classes(job.output / "classes.txt")
        folder = self.folder / "sweeps" / job.output.name
        make_folder(folder)
        with alone_in(folder):
            labels = Sweep(job, self.size, len(classes))
            confusions = np.zeros((len(names), len(self.dataset), len(classes), len(classes)), np.int32)
            for index, example in enumerate(progress(self.dataset, what=f"T = 1 to {len(names)}", unit="image")):
                self._go_on()
                truth = example.labels()
                for step, result in enumerate(labels(example.image(), len(names))):
                    confusions[step, index] = metrics.confusion_matrix(truth, result, len(classes))
            images = tuple(example.name for example in self.dataset)
            for name, counts in zip(names, confusions):
                ImageConfusions(images, classes.names, counts).save(self._counts(name))
                self._figures(name).write_text("{}\n", encoding="utf-8")


@dataclass(frozen=True)
class Tuning:
    """The search for the settings of the dense CRF that are best for a network on images held out of training.

    folder: for what it tries and finds. counts: of the settings that are drawn and varied.
    """

    folder: Path
    held_out: Dataset
    size: int
    counts: tuple[int, int]
    processes: int

    @property
    def best(self) -> Path:
        """The file of what it finds, see CrfSettings.read."""
        return self.folder / "best.json"

    def run(self, job: Job) -> None:
        """Search. Raises BusyError if another process does."""
        make_folder(self.folder)
        with alone_in(self.folder):
            samples = cached(
                self.held_out.examples,
                self.folder / "probabilities",
                digest(self.size, files=[job.deploy, job.final]),
                lambda: Segmenter(str(job.deploy), job.final, size=self.size, precision=job.precision),
                CACHE_LIMIT,
            )
            search(
                samples,
                self.folder / "evaluated.jsonl",
                coarse=self.counts[0],
                fine=self.counts[1],
                folds=min(5, len(samples)),
                processes=self.processes,
            ).save(self.best)
