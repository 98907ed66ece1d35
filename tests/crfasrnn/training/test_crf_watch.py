"""What a training tells of its CRF: weights, how far they moved, and a warning where they did not."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.crfasrnn.training import databases, slim

from crfasrnn.crf.caffemodel import MATRICES, read_matrices
from crfasrnn.figures.curves import read_curves
from crfasrnn.training import crf_watch
from crfasrnn.training.crf_watch import changes
from crfasrnn.training.limits import StoppedError
from crfasrnn.training.train import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def said(data: Path) -> tuple[Path, list[str]]:
    """A training of 21 steps from random weights, resumed on the way, and the lines that it showed."""
    lines: list[str] = []
    job = slim(data, data.parent / "crf", "slim-crfrnn", steps=21, options={"crf_rate": 4.0})
    steps = iter([False] * 5 + [True] + [False] * 99)
    with pytest.raises(StoppedError):
        train(job, lambda: next(steps), lines.append)
    train(job, show=lines.append)
    return job.output, lines


def test_the_log_tells_the_diagonals_and_how_far_they_moved(said: tuple[Path, list[str]]) -> None:
    output, lines = said
    crf = read_curves(output / "log.jsonl").crf
    assert list(crf) == [0, 20]
    assert crf[0] == {"spatial": [1.5] * 3, "bilateral": [3] * 3, "compatibility": [-1] * 3}
    end = [np.diag(matrix) for matrix in read_matrices(output / "final.caffemodel", 3)]
    moved = {name: np.abs(values - np.array(crf[0][name])).mean() for name, values in zip(MATRICES, end)}
    (line,) = (line for line in lines if line.startswith("the CRF's weights moved by"))
    assert line.startswith(
        "the CRF's weights moved by " + ", ".join(f"{name} {found:.3f}" for name, found in moved.items())
    )
    assert line.endswith(f"at most {max(moved.values()) * 1000 / 21:.2g} per 1,000 steps")
    assert (
        f"Iteration 20, CRF: spatial {np.mean(crf[20]['spatial']):.3f}, bilateral" in (output / "train.log").read_text()
    )


def test_a_network_without_crf_tells_nothing(data: Path) -> None:
    lines: list[str] = []
    job = slim(data, data.parent / "fcn", steps=2)
    train(job, show=lines.append)
    assert not read_curves(job.log).crf
    assert not any("CRF" in line for line in lines)


@pytest.mark.parametrize(("rate", "warned"), [(0.001, True), (10.0, False)])
def test_a_crf_that_does_not_learn_is_told(
    said: tuple[Path, list[str]],
    tmp_path: Path,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
    rate: float,
    warned: bool,
) -> None:
    monkeypatch.setattr(crf_watch, "STEPS", 8)
    output, _ = said
    job = slim(output.parent / "data", tmp_path / "out", "slim-crf-only", steps=8, options={"crf_rate": rate})
    job = replace(job, weights=output / "final.caffemodel", learning_rate=1e-3)
    with caplog.at_level(logging.WARNING):
        train(job, show=lambda line: None)
    assert ("The CRF has hardly learned" in caplog.text) == warned


def test_changes_are_means_of_absolute_differences() -> None:
    assert changes({"spatial": [1.0, 2.0]}, {"spatial": np.array([1.5, 1.0])}) == {"spatial": 0.75}
