"""Rows of the tables: every method labels the validation images once; labels, counts and scores stay on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe.files import make_folder
from caffe.logs.progress_bar import progress
from crfasrnn.claims import digest
from crfasrnn.classes import read_classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.evaluate import evaluate
from crfasrnn.evaluation.labellers import Labeller, model_labels
from crfasrnn.evaluation.scores import write_json
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
    """The result of one method with one seed: figures as evaluate.write_json writes them, and counts image by image."""

    figures: dict[str, Any]
    per_image: ImageConfusions

    @property
    def mean_iu(self) -> float:
        """As a fraction."""
        return metrics.mean_iu(self.per_image.matrices.sum(0, dtype=np.int64))


@dataclass(frozen=True)
class Scorer:
    """Scores methods on the validation images and keeps the results below `folder`.

    stop: asked before every image whether the time is over.
    """

    folder: Path
    dataset: Dataset
    size: int
    stop: Callable[[], bool]

    def score(self, name: str, job: Job, label: Callable[[], Labeller]) -> Scored:
        """The scores of a method that starts from the weights of a job; `label` makes the method if it must be run.

        Raises StoppedError when the time is over.
        """
        figures, per_image, labels = (
            self.folder / f"{name}.json",
            self.folder / f"{name}.npz",
            self.labels(name),
        )
        if not figures.is_file():
            classes = read_classes(job.output / "classes.txt")
            make_folder(labels)
            palette = class_palette(classes)

            def keep(image: str, result: np.ndarray) -> None:
                write_labels(labels / f"{image}.png", result, palette)
                self._go_on()

            scores = evaluate(label(), self.dataset, classes, trimap=True, keep=keep)
            assert scores.per_image is not None
            scores.per_image.save(per_image)
            write_json(figures, scores)
        return Scored(json.loads(figures.read_text(encoding="utf-8")), ImageConfusions.load(per_image))

    def labels(self, name: str) -> Path:
        """The folder of a method's label maps."""
        return self.folder / "labels" / name

    def _go_on(self) -> None:
        if self.stop():
            raise StoppedError

    def network(self, name: str, job: Job) -> Scored:
        """The network as it was trained."""
        return self.score(name, job, lambda: model_labels(self._segmenter(job)))

    def dense_crf(self, name: str, job: Job, settings: CrfSettings) -> Scored:
        """The network, then the dense CRF of Krähenbühl and Koltun, each for itself."""

        def labeller() -> Labeller:
            segmenter = self._segmenter(job)

            def label(example: Example) -> np.ndarray:
                image = example.image()
                probabilities = segmenter.segment(image, probabilities=True).probabilities
                assert probabilities is not None
                return settings.labels(image, unary_from_softmax(probabilities)).astype(np.uint8)

            return label

        return self.score(name, job, labeller)

    def _segmenter(self, job: Job) -> Segmenter:
        return Segmenter(str(job.deploy), job.final, size=self.size, precision=job.precision)

    def tuned(self, name: str, job: Job, held_out: Dataset, counts: tuple[int, int], processes: int) -> CrfSettings:
        """The settings of the dense CRF that are best for a network on images held out of training."""
        folder = self.folder / f"{name}-search"
        best = folder / "best.json"
        if not best.is_file():
            self._go_on()
            samples = cached(
                held_out.examples,
                folder / "probabilities",
                digest(self.size, files=[job.deploy, job.final]),
                lambda: self._segmenter(job),
                CACHE_LIMIT,
            )
            self._go_on()
            search(
                samples,
                folder / "evaluated.jsonl",
                coarse=counts[0],
                fine=counts[1],
                folds=min(5, len(samples)),
                processes=processes,
            ).save(best)
        return CrfSettings.read(best)

    def sweep(self, name: str, job: Job, longest: int) -> list[Scored]:
        """The scores with 1, 2, ... `longest` mean-field iterations in testing. Raises StoppedError when the time is over."""
        files = [self.folder / f"{name}-t{count}.npz" for count in range(1, longest + 1)]
        if not all(path.is_file() for path in files):
            classes = read_classes(job.output / "classes.txt")
            labels = Sweep(job, self.size, len(classes))
            confusions = np.zeros((longest, len(self.dataset), len(classes), len(classes)), np.int32)
            for index, example in enumerate(progress(self.dataset, what=name, unit="image")):
                self._go_on()
                truth = example.labels()
                for step, result in enumerate(labels(example.image(), longest)):
                    confusions[step, index] = metrics.confusion_matrix(truth, result, len(classes))
            names = tuple(example.name for example in self.dataset)
            for path, counts in zip(files, confusions):
                ImageConfusions(names, classes.names, counts).save(path)
        return [Scored({}, ImageConfusions.load(path)) for path in files]
