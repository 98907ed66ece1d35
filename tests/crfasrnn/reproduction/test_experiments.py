"""What a table needs, and that comparisons are fair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from crfasrnn.reproduction.experiments import ABLATIONS, TABLES, of_table


def test_the_comparison_is_fair(output: Path) -> None:
    """The network trained on and CRF-RNN start from the same weights and take the same steps on the same images."""
    solvers = []
    for name in ("longer-1.1", "crfrnn-1.1"):
        text = (output / name / "solver.prototxt").read_text().replace(name, "x")
        solvers.append(text_format.Parse(text, caffe_pb2.SolverParameter()))
    assert solvers[0] == solvers[1]
    jobs = [json.loads((output / name / "job.json").read_text()) for name in ("longer-1.1", "crfrnn-1.1")]
    assert jobs[0].pop("recipe") != jobs[1].pop("recipe")
    rates = [job.pop("rates") for job in jobs]
    assert rates[0] == {"base_lr": rates[1]["base_lr"]}
    assert jobs[0] == jobs[1]


def test_variants_are_chosen_by_name() -> None:
    assert of_table("ablations") == ABLATIONS
    assert [item.name for item in of_table("ablations", ["untied", "potts"])] == ["crfrnn", "potts", "untied"]
    assert of_table("table1", ["crfrnn"]) == TABLES["table1"]  # nothing of it can be left out
    with pytest.raises(CaffeError, match="ablations has no variant 'pots': one of shared, per-class"):
        of_table("ablations", ["pots"])


def test_what_a_variant_starts_from_comes_with_it() -> None:
    assert [item.name for item in of_table("schedules", ["crf-first"])] == ["longer", "crf-only", "crf-first"]


@pytest.mark.parametrize("table", list(TABLES))
def test_names_tell_them_apart(table: str) -> None:
    assert len({item.name for item in of_table(table)}) == len(of_table(table))
