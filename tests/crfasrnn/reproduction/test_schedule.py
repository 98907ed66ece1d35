"""The plan in words, by measured and by assumed speeds."""

from __future__ import annotations

import json
from pathlib import Path

from support.crfasrnn.reproduction import settings_of

from crfasrnn.reproduction.experiments import LONGER
from crfasrnn.reproduction.runs import Run, Seeds, job_of
from crfasrnn.reproduction.schedule import lines


def write_log(path: Path, speed: float) -> None:
    """A training's log that tells its speed."""
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"event": "train", "iteration": 0, "loss": 1, "iterations_per_second": speed}) + "\n")


def test_minutes_by_what_was_measured_here(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    write_log(tmp_path / "fcn8s-1" / "log.jsonl", 8000 / 60)  # this training itself
    write_log(tmp_path / "crfrnn-9.9" / "log.jsonl", 1000 / 120)  # one of the same experiment
    longer = job_of(Run(LONGER, 1, 1), tmp_path, settings)
    longer.output.mkdir()
    longer.final.write_bytes(b"")
    fcn, untrained, first, second, crf, total = lines(tmp_path, settings, "table1", Seeds((1,), (1,)))
    assert fcn == f"{tmp_path / 'fcn8s-1'}: slim-fcn8s, 8000 steps, 1 minutes at 1.3e+02 steps/s (measured)"
    assert untrained == f"{tmp_path / 'untrained-1'}: weights as they come"
    assert first == f"{tmp_path / 'longer-1.1'}: done"
    assert second.startswith(f"{tmp_path / 'crf-only-1.1'}: slim-crf-only, 1000 steps, ")
    assert crf == f"{tmp_path / 'crfrnn-1.1'}: slim-crfrnn, 1000 steps, 2 minutes at 8.3 steps/s (measured)"
    assert total.startswith("about 0.2 hours of training in all")


def test_without_a_measurement_a_speed_is_assumed(tmp_path: Path) -> None:
    fcn, *_ = lines(tmp_path, settings_of(tmp_path), "iterations", Seeds())
    assert fcn.endswith("8000 steps, 67 minutes at 2 steps/s (assumed)")


def test_variants_that_are_asked_for(tmp_path: Path) -> None:
    planned = list(lines(tmp_path, settings_of(tmp_path), "ablations", Seeds((1,), (1,)), ["potts", "untied"]))
    names = [Path(line.split(":")[0]).name for line in planned[:-1]]
    assert names == ["fcn8s-1", "crfrnn-1.1", "potts-1.1", "untied-1.1"]
    assert planned[-1].startswith("about 1.5 hours of training in all")
