"""Scores of one method: when they stop, and on which images the dense CRF is tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.reproduction import CLASSES, settings_of

from crfasrnn.claims import BusyError, alone_in
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.reproduction.experiments import END_TO_END
from crfasrnn.reproduction.runs import Run, job_of
from crfasrnn.reproduction.scoring import Scorer
from crfasrnn.training.limits import StoppedError


def test_the_dense_crf_is_tuned_on_the_held_out_images(voc: Path, output: Path) -> None:
    held_out = settings_of(voc).training()[1]
    for name in ("fcn8s-1", "longer-1.1"):
        folder = output / "tuned" / name
        assert {path.stem for path in (folder / "probabilities").glob("*.npy")} == {
            example.name for example in held_out
        }
        CrfSettings.read(folder / "best.json")


def test_a_method_is_stopped_between_images(voc: Path, output: Path, tmp_path: Path) -> None:
    settings = settings_of(voc)
    planned = job_of(Run(END_TO_END, 1, 1), output, settings)
    scorer = Scorer(tmp_path, settings.validation(), 56, None, lambda: True)
    with pytest.raises(StoppedError):
        scorer.network("x", planned)
    assert not scorer.is_scored("x")


def test_one_process_scores_a_method(voc: Path, output: Path, tmp_path: Path) -> None:
    settings = settings_of(voc)
    scorer = Scorer(tmp_path, settings.validation(), 56, None, lambda: False)
    scorer.labels("x").mkdir(parents=True)
    with alone_in(scorer.labels("x")), pytest.raises(BusyError):
        scorer.network("x", job_of(Run(END_TO_END, 1, 1), output, settings))


def test_the_mean_of_some_classes(voc: Path, output: Path) -> None:
    settings = settings_of(voc)
    every, two = (Scorer(output / "scores", settings.validation(), 56, over, lambda: True) for over in (None, (0, 2)))
    values = every.scored("crfrnn-1.1").figures["per_class_iu"]
    assert every.scored("crfrnn-1.1").mean_iu == pytest.approx(np.mean(values))
    assert two.scored("crfrnn-1.1").mean_iu == pytest.approx((values[0] + values[2]) / 2)


def test_counts_are_those_of_the_kept_labels(voc: Path, output: Path) -> None:
    counts = ImageConfusions.load(output / "scores" / "crfrnn-1.1.npz")
    for name, matrix in zip(counts.names, counts.matrices):
        truth = read_labels(voc / "SegmentationClass" / f"{name}.png")
        given = read_labels(output / "scores" / "labels" / "crfrnn-1.1" / f"{name}.png")
        for row, label in enumerate(CLASSES):
            assert matrix[row].tolist() == np.bincount(given[truth == label], minlength=3).tolist()
