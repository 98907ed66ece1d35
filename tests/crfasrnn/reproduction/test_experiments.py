"""Which experiment starts from which other one, and that comparisons are fair."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from support.crfasrnn.reproduction import settings_of

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from crfasrnn.networks.recipes import RECIPES
from crfasrnn.reproduction.experiments import ABLATIONS, FCN_CHAIN, ablations, experiments, job


def test_the_comparison_is_fair(output: Path) -> None:
    """FCN-8s trained on and CRF-RNN start from the same weights and take the same steps on the same images."""
    solvers = []
    for name in ("longer-seed1", "crfrnn-seed1"):
        text = (output / name / "solver.prototxt").read_text().replace(name, "x")
        solvers.append(text_format.Parse(text, caffe_pb2.SolverParameter()))
    assert solvers[0] == solvers[1]
    jobs = [json.loads((output / name / "job.json").read_text()) for name in ("longer-seed1", "crfrnn-seed1")]
    assert jobs[0].pop("recipe") != jobs[1].pop("recipe")
    rates = [job.pop("rates") for job in jobs]
    assert rates[0] == {"base_lr": rates[1]["base_lr"]}
    assert jobs[0] == jobs[1]


@pytest.mark.parametrize("table", ["table1", "ablations", "iterations"])
@pytest.mark.parametrize("family", ["slim", "voc21"])
def test_each_comes_after_what_it_starts_from(tmp_path: Path, table: str, family: str) -> None:
    settings = replace(settings_of(tmp_path), family=family, weights="trunk.npz", fcn_steps=7, crf_steps=3)
    done = {"trunk.npz"}
    for experiment in experiments(table, family):
        planned = job(tmp_path, settings, experiment, 4)
        assert planned.recipe in RECIPES
        assert str(planned.weights) in done
        assert planned.steps == (7 if experiment.name in FCN_CHAIN[family] else 3)
        assert (planned.seed, planned.train_folder) == (4, tmp_path / "data" / "train-seed4")
        done.add(str(planned.final))


def test_ablations_are_chosen_by_name() -> None:
    assert ablations() == list(ABLATIONS)
    assert [item.name for item in ablations(["untied", "potts"])] == ["crfrnn", "potts", "untied"]
    with pytest.raises(CaffeError, match="no variant 'pots': one of shared, per-class"):
        ablations(["pots"])
