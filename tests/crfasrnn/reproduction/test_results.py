"""A table's figures as JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.reproduction import table_of

from crfasrnn.evaluation.bootstrap import Comparison, ImageConfusions, compare_runs
from crfasrnn.reproduction.experiments import END_TO_END
from crfasrnn.reproduction.paper import Claim
from crfasrnn.reproduction.results import Difference, Row, to_json
from crfasrnn.reproduction.runs import Run
from crfasrnn.reproduction.scoring import Scored


def test_differences_are_the_hierarchical_bootstraps(output: Path) -> None:
    items = {(item["first"], item["second"]): item for item in table_of(output, "table1")["differences"]}
    assert ("longer-dense", "crfrnn") in items
    for (first, second), item in items.items():
        rows = [
            [ImageConfusions.load(path) for path in sorted((output / "scores").glob(f"{name}-1*.npz"))]
            for name in (first, second)
        ]
        expected = compare_runs(rows[:1], rows[1:])
        assert item["difference"] == pytest.approx(expected.difference)
        assert (item["low"], item["high"]) == pytest.approx((expected.low, expected.high))
        assert item["of_each"] == pytest.approx(list(expected.differences))


def scored(right: int) -> Scored:
    """Two classes with so many of ten pixels of each right."""
    matrix = np.array([[[right, 10 - right], [10 - right, right]]], np.int32)
    figures = {"pixel_accuracy": right / 10, "other": 1}
    return Scored(figures, ImageConfusions(("a",), ("x", "y"), matrix))


def test_a_row_is_the_mean_of_its_trainings() -> None:
    runs = {Run(END_TO_END, 1, 1): scored(8), Run(END_TO_END, 1, 2): scored(6)}
    difference = Difference(
        Claim("fcn", "crf", "it helps", "section 7", 1.5, 1),
        Comparison(0.5, 0.625, 0.0625, 0.1875, 0.95, 0.01, 1, 9, (0.125,)),
    )
    content = to_json("table1", [Row("crf", "CRF", runs, (72.9,))], [difference], {"seeds": [1, 2]})
    (row,) = content["rows"]
    assert row["mean_iu"] == pytest.approx((8 / 12 + 6 / 14) / 2)
    assert row["runs"]["1.2"] == {"mean_iu": pytest.approx(6 / 14), "pixel_accuracy": 0.6}
    assert row["paper"] == [72.9]
    (item,) = content["differences"]
    assert (item["difference"], item["low"], item["high"]) == (0.125, 0.0625, 0.1875)
    assert (item["says"], item["verdict"], item["of_each"]) == ("it helps", "reproduced", [0.125])
    assert (content["table"], content["seeds"]) == ("table1", [1, 2])


def test_networks_count_alike_however_many_trainings_they_have() -> None:
    runs = {Run(END_TO_END, 1, 1): scored(8), Run(END_TO_END, 1, 2): scored(8), Run(END_TO_END, 2, 1): scored(6)}
    assert Row("crf", "CRF", runs).mean_iu == pytest.approx((8 / 12 + 6 / 14) / 2)
