"""Scores of one method: when they stop, and on which images the dense CRF is tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.reproduction import CLASSES

from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.reproduction.experiments import END_TO_END, job
from crfasrnn.reproduction.scoring import Scorer
from crfasrnn.reproduction.settings import Settings
from crfasrnn.training.limits import StoppedError


def test_the_dense_crf_is_tuned_on_the_held_out_images(voc: Path, output: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    folder = output / "scores" / "fcn8s-dense-seed1-search"
    names = {path.stem for path in (folder / "probabilities").glob("*.npy")}
    assert names == {example.name for example in settings.training()[1]}
    CrfSettings.read(folder / "best.json")


def test_a_method_is_stopped_between_images(voc: Path, output: Path, tmp_path: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    planned = job(output, settings, END_TO_END, 1)
    with pytest.raises(StoppedError):
        Scorer(tmp_path, settings.validation(), 56, lambda: True).network("x", planned)
    assert not (tmp_path / "x.json").exists()


def test_counts_are_those_of_the_kept_labels(voc: Path, output: Path) -> None:
    counts = ImageConfusions.load(output / "scores" / "crfrnn-seed1.npz")
    for name, matrix in zip(counts.names, counts.matrices):
        truth = read_labels(voc / "SegmentationClass" / f"{name}.png")
        given = read_labels(output / "scores" / "labels" / "crfrnn-seed1" / f"{name}.png")
        for row, label in enumerate(CLASSES):
            assert matrix[row].tolist() == np.bincount(given[truth == label], minlength=3).tolist()
