"""Scores as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crfasrnn.classes import Classes
from crfasrnn.evaluation.scores import Scores, report, write_json


def test_the_report_names_every_class_and_mean() -> None:
    text = report(Scores(Classes(("background", "dog"), (0, 12)), np.array([[6, 2], [0, 0]]), 3))
    rows = {line[:21].strip(): line[21:].split() for line in text.splitlines()}
    assert rows["background"] == ["75.0", "75.0"]
    assert rows["dog"] == ["0.0", "nan"]
    assert rows["mean IU"] == ["37.5"]
    assert rows["pixel accuracy"] == ["75.0"]
    assert rows["images"] == ["3"]


def test_json_holds_fractions_and_null_for_what_does_not_occur(tmp_path: Path) -> None:
    confusion = np.array([[18, 0, 0], [2, 24, 0], [0, 0, 0]])
    boundary = np.array([0.5, 0.75, np.nan])
    write_json(
        tmp_path / "scores.json", Scores(Classes(("a", "b", "c"), (0, 1, 2)), confusion, 2, None, None, boundary)
    )
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["per_class_iu"] == [pytest.approx(18 / 20), pytest.approx(24 / 26), None]
    assert written["per_class_accuracy"] == [1, pytest.approx(24 / 26), None]
    assert written["mean_iu"] == pytest.approx((18 / 20 + 24 / 26) / 2)
    assert written["mean_boundary_f"] == 0.625
    assert written["per_class_boundary_f"] == [0.5, 0.75, None]
    assert written["confusion"] == confusion.tolist()
    assert (written["images"], written["classes"]) == (2, ["a", "b", "c"])


def test_bands_are_shown_or_missed(tmp_path: Path) -> None:
    classes, confusion = Classes(("a", "b"), (0, 1)), np.array([[3, 1], [0, 4]])
    bands = np.arange(1, 41)[:, None, None] * confusion
    rows = report(Scores(classes, confusion, 1, trimap=bands)).splitlines()
    assert [row.split()[0] for row in rows[-9:]] == ["1", "2", "4", "8", "12", "16", "20", "30", "40"]
    assert all(row.split()[1:] == ["77.5", "87.5"] for row in rows[-9:])  # (3/4 + 4/5) / 2 and 7/8
    empty = Scores(classes, confusion, 1, trimap=np.zeros((40, 2, 2), int))
    assert report(empty).splitlines()[-1] == "no void in these label maps, so no bands around it"
