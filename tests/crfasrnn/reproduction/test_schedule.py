"""The plan in words, by measured and by assumed speeds."""

from __future__ import annotations

import json
from pathlib import Path

from support.crfasrnn.reproduction import settings_of

from crfasrnn.reproduction.experiments import LONGER, job
from crfasrnn.reproduction.schedule import lines


def write_log(path: Path, speed: float) -> None:
    """A training's log that tells its speed."""
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"event": "train", "iteration": 0, "loss": 1, "iterations_per_second": speed}) + "\n")


def test_minutes_by_what_was_measured_here(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    write_log(tmp_path / "fcn8s-seed1" / "log.jsonl", 3500 / 60)  # this training itself
    write_log(tmp_path / "potts-seed9" / "log.jsonl", 1000 / 120)  # one of the same recipe as crfrnn
    job(tmp_path, settings, LONGER, 1).output.mkdir()
    job(tmp_path, settings, LONGER, 1).final.write_bytes(b"")
    fcn, longer, crf, total = lines(tmp_path, settings, "table1", [1])
    assert fcn == f"{tmp_path / 'fcn8s-seed1'}: slim-fcn8s, 3500 steps, 1 minutes at 58 steps/s (measured)"
    assert longer == f"{tmp_path / 'longer-seed1'}: done"
    assert crf == f"{tmp_path / 'crfrnn-seed1'}: slim-crfrnn, 1000 steps, 2 minutes at 8.3 steps/s (measured)"
    assert total.startswith("about 3 minutes of training in all")


def test_without_a_measurement_a_speed_is_assumed(tmp_path: Path) -> None:
    fcn, *_ = lines(tmp_path, settings_of(tmp_path), "iterations", [1, 2])
    assert fcn.endswith("3500 steps, 29 minutes at 2 steps/s (assumed)")


def test_ablations_that_are_asked_for(tmp_path: Path) -> None:
    planned = list(lines(tmp_path, settings_of(tmp_path), "ablations", [1], ["potts", "untied"]))
    names = [Path(line.split(":")[0]).name for line in planned[:-1]]
    assert names == ["fcn8s-seed1", "crfrnn-seed1", "potts-seed1", "untied-seed1"]
