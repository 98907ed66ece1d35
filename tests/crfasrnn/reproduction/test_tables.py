"""Whole tables: their figures against independent ones, and what ablations and iterations add."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score
from support.commands import status
from support.crfasrnn.reproduction import CLASSES, LISTS, table_of

from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.reproduction.experiments import ABLATIONS


def test_figures_are_those_of_the_saved_labels(voc: Path, output: Path) -> None:
    rows = table_of(output, "table1")["rows"]
    assert [row["name"] for row in rows] == ["fcn8s", "fcn8s-dense", "longer", "longer-dense", "crfrnn"]
    scores = []
    for row in rows:
        for seed in ("1", "2"):
            truth, given = [], []
            for name in LISTS["val"]:
                labels = read_labels(voc / "SegmentationClass" / f"{name}.png")
                result = read_labels(output / "scores" / "labels" / f"{row['name']}-seed{seed}" / f"{name}.png")
                truth.append(np.searchsorted(CLASSES, labels[labels != 255]))
                given.append(result[labels != 255])
            expected = jaccard_score(np.concatenate(truth), np.concatenate(given), average="macro", zero_division=0)
            assert row["seeds"][seed]["mean_iu"] == pytest.approx(expected, abs=1e-9)
            scores.append(expected)
        assert row["mean_iu"] == pytest.approx(np.mean(scores[-2:]))
    assert len({round(score, 6) for score in scores}) > 2  # the methods do differ


def test_ablations_and_iterations(output: Path, tmp_path: Path) -> None:
    """One seed of each; a training that diverges does not take the table with it."""
    output = shutil.copytree(output, tmp_path / "out")
    assert status("reproduce", "ablations", "--output", output, "--seeds", "1", "--threads", 1) == 0
    content = table_of(output, "ablations")
    shown = {row["title"] for row in content["rows"]} | set(content["diverged"])
    assert {experiment.title for experiment in ABLATIONS} <= shown
    assert {f"T = {count} in testing" for count in (1, 2, 5, 10, 15)} <= shown
    assert status("reproduce", "iterations", "--output", output, "--seeds", "1", "--threads", 1) == 0
    rows = table_of(output, "iterations")["rows"]
    assert [row["name"] for row in rows] == [f"test-t{count}" for count in range(1, 21)]
    end_to_end = content["rows"][0]["seeds"]["1"]["mean_iu"]
    assert rows[9]["seeds"]["1"]["mean_iu"] == pytest.approx(end_to_end, abs=1e-3)
    assert (output / "iterations.png").is_file()
