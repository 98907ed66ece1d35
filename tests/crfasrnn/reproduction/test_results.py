"""A table's figures as JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.reproduction import table_of

from crfasrnn.evaluation.bootstrap import Comparison, ImageConfusions, compare
from crfasrnn.reproduction.results import Difference, Row, to_json
from crfasrnn.reproduction.scoring import Scored


def test_differences_are_the_paired_bootstraps(output: Path) -> None:
    items = {(item["first"], item["second"]): item for item in table_of(output, "table1")["differences"]}
    assert ("longer", "crfrnn") in items
    for (first, second), item in items.items():
        a, b = (ImageConfusions.load(output / "scores" / f"{name}-seed2.npz") for name in (first, second))
        expected = compare(a, b)
        assert item["seeds"]["2"]["difference"] == pytest.approx(expected.difference)
        assert (item["seeds"]["2"]["low"], item["seeds"]["2"]["high"]) == (expected.low, expected.high)


def scored(right: int) -> Scored:
    """Two classes with so many of ten pixels of each right."""
    matrix = np.array([[[right, 10 - right], [10 - right, right]]], np.int32)
    figures = {"pixel_accuracy": right / 10, "other": 1}
    return Scored(figures, ImageConfusions(("a",), ("x", "y"), matrix))


def test_a_row_is_the_mean_of_its_seeds() -> None:
    rows = [Row("crf", "CRF", {1: scored(8), 2: scored(6)}, (72.9,))]
    difference = Difference("fcn", "crf", {1: Comparison(0.5, 0.625, 0.0625, 0.1875, 0.95, 0.01, 1, 9)})
    content = to_json("table1", rows, [difference], {"seeds": [1, 2]})
    (row,) = content["rows"]
    assert row["mean_iu"] == pytest.approx((8 / 12 + 6 / 14) / 2)
    assert row["seeds"]["2"] == {"mean_iu": pytest.approx(6 / 14), "pixel_accuracy": 0.6}
    assert row["paper"] == [72.9]
    assert content["differences"][0]["seeds"]["1"] == {
        "difference": 0.125,
        "low": 0.0625,
        "high": 0.1875,
        "level": 0.95,
        "not_better": 0.01,
    }
    assert (content["table"], content["seeds"]) == ("table1", [1, 2])
