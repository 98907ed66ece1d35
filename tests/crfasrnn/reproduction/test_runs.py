"""Which training starts from which other one, on which images, for how long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.crfasrnn.reproduction import settings_of

from crfasrnn.networks.recipes import RECIPES
from crfasrnn.reproduction.experiments import END_TO_END, TABLES, UNTRAINED
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.runs import Run, Seeds, all_runs, job_of, runs, start_of


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_each_comes_after_what_it_starts_from(tmp_path: Path, table: str, family: str) -> None:
    settings = replace(settings_of(tmp_path), family=family, weights="trunk.npz", fcn_steps=7, crf_steps=3)
    done = {"trunk.npz"}
    for run in all_runs(table, settings, Seeds((4, 5), (1, 2))):
        planned = job_of(run, tmp_path, settings)
        assert planned.recipe in RECIPES
        assert str(planned.weights) in done
        if run.seed is None:
            assert (planned.seed, planned.train_folder) == (run.network, tmp_path / "data" / f"network{run.network}")
        else:
            assert (planned.seed, planned.train_folder) == (run.seed, tmp_path / "data" / f"seed{run.seed}")
            assert planned.steps == 3
        done.add(str(planned.final))


def test_runs_of_an_experiment() -> None:
    seeds = Seeds((1, 2), (7, 8))
    assert [run.name for run in runs(END_TO_END, seeds)] == ["crfrnn-1.7", "crfrnn-1.8", "crfrnn-2.7", "crfrnn-2.8"]
    assert [run.name for run in runs(UNTRAINED, seeds)] == ["untrained-1", "untrained-2"]


def test_the_crf_first_then_all_with_the_same_seed(tmp_path: Path) -> None:
    crf_first = next(item for item in TABLES["schedules"] if item.name == "crf-first")
    assert start_of(Run(crf_first, 2, 3), settings_of(tmp_path)) == "crf-only-2.3"
    assert start_of(Run(END_TO_END, 2, 3), settings_of(tmp_path)) == "fcn8s-2"
