"""Whole tables: their figures against independent ones, and what ablations and iterations add."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score
from support.commands import status
from support.crfasrnn.reproduction import CLASSES, LISTS, settings_of, table_of

from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.reproduction.experiments import of_table


def test_figures_are_those_of_the_saved_labels(voc: Path, output: Path) -> None:
    rows = table_of(output, "table1")["rows"]
    names = ["plain", "plain-published", "plain-dense", "longer", "longer-dense", "untrained", "crf-only", "crfrnn"]
    assert [row["name"] for row in rows] == names
    scores = []
    for row in rows:
        for label, run in row["runs"].items():
            truth, given = [], []
            for name in LISTS["val"]:
                labels = read_labels(voc / "SegmentationClass" / f"{name}.png")
                result = read_labels(output / "scores" / "labels" / f"{row['name']}-{label}" / f"{name}.png")
                truth.append(np.searchsorted(CLASSES, labels[labels != 255]))
                given.append(result[labels != 255])
            expected = jaccard_score(np.concatenate(truth), np.concatenate(given), average="macro", zero_division=0)
            assert run["mean_iu"] == pytest.approx(expected, abs=1e-9)
            scores.append(expected)
        assert row["mean_iu"] == pytest.approx(np.mean(scores[-len(row["runs"]) :]))
    assert len({round(score, 6) for score in scores}) > 2  # the methods do differ


def test_the_other_tables(output: Path, tmp_path: Path) -> None:
    """One training of each; one that diverges does not take the table with it."""
    output, one = shutil.copytree(output, tmp_path / "out"), ("--seeds", "1", "--threads", 1)
    assert status("reproduce", "ablations", "--output", output, "--variants", "relu,untied", *one) == 0
    content = table_of(output, "ablations")
    shown = {row["title"] for row in content["rows"]} | set(content["diverged"])
    assert {item.title for item in of_table("ablations", ["relu", "untied"])} <= shown
    assert {f"T = {count} in testing" for count in (1, 2, 5, 10, 15)} <= shown
    assert status("reproduce", "iterations", "--output", output, *one) == 0
    rows = table_of(output, "iterations")["rows"]
    assert [row["name"] for row in rows] == [f"test-t{count}" for count in range(1, 21)]
    assert rows[9]["mean_iu"] == pytest.approx(content["rows"][0]["mean_iu"], abs=1e-3)
    assert (output / "iterations.png").is_file()


def test_losses_and_rates_are_compared_on_held_out_images(voc: Path, output: Path, tmp_path: Path) -> None:
    output = shutil.copytree(output, tmp_path / "out")
    chosen = ("--variants", "alone-robust", "--seeds", "1", "--threads", 1)
    assert status("reproduce", "schedules", "--output", output, *chosen) == 0
    rows = table_of(output, "schedules")["rows"]
    assert [row["name"] for row in rows] == ["plain", "longer", "alone-robust"]
    images = {path.stem for path in (output / "scores-held-out" / "labels" / "alone-robust-1.1").glob("*.png")}
    assert images == {example.name for example in settings_of(voc).training()[1]}
