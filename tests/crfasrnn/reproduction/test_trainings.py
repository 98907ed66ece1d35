"""What is trained: each once, on images in an order that depends on the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import status
from support.crfasrnn.reproduction import LISTS, SEEDS, settings_of

from crfasrnn.datasets.databases import IMAGES, read_database
from crfasrnn.reproduction.experiments import TABLES
from crfasrnn.reproduction.runs import Run, Seeds
from crfasrnn.reproduction.tasks import work_off
from crfasrnn.reproduction.trainings import Trainings
from crfasrnn.training.limits import StoppedError


def test_seeds_see_the_images_in_another_order_and_none_that_is_held_out(voc: Path, output: Path) -> None:
    settings = settings_of(voc)
    fit, held = settings.training()
    assert {example.name for example in fit} | {example.name for example in held} == {
        *LISTS["train"],
        *LISTS["train_sbd"],
    }
    assert len(held) == 2
    assert {example.name for example in held} < set(LISTS["train"])
    every, *parts = (
        [image.tobytes() for _, image in read_database(output / "data" / name / IMAGES)]
        for name in ("network1", "seed1", "seed2")
    )
    assert len(every) == 6 * 2 * 2
    assert [len(part) for part in parts] == [8, 8]  # as many as there are steps
    assert set(parts[0]) | set(parts[1]) <= set(every)
    assert parts[0] != parts[1]


def test_again_nothing_is_trained(output: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")}
    assert len(before) == 1 + 1 + 3 * 2
    page = (output / "table1.md").read_text()
    assert status("reproduce", "table1", "--output", output, *SEEDS, "--threads", 1) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")} == before
    assert (output / "table1.md").read_text() == page
    capsys.readouterr()
    assert status("reproduce", "table1", "--output", output, *SEEDS, "--dry-run") == 0
    assert capsys.readouterr().out.count(": done\n") == 8


def test_trainings_are_stopped_when_the_time_is_over(voc: Path, tmp_path: Path) -> None:
    shown: list[str] = []
    trainings = Trainings(tmp_path, settings_of(voc), Seeds((1,), (1,)), lambda: True, shown.append)
    (databases, *_, training) = [task for task in trainings.tasks("iterations") if "crfrnn" not in task.name]
    with pytest.raises(StoppedError):
        work_off([databases], lambda: True, shown.append)
    for task in trainings.tasks("iterations"):
        if task.name.startswith("data/"):
            task.do()
    with pytest.raises(StoppedError):
        training.do()
    assert shown[-1].startswith("stopped at step 1 of 8000")
    assert not training.is_done()


def test_what_diverged_takes_along_what_starts_from_it(voc: Path, tmp_path: Path) -> None:
    trainings = Trainings(tmp_path, settings_of(voc), Seeds((1,), (1, 2)))
    tasks = {task.name: task for task in trainings.tasks("schedules", ["crf-first"])}
    (tmp_path / "crf-only-1.2").mkdir()
    (tmp_path / "crf-only-1.2" / "diverged.txt").write_text("the loss is nan\n")
    assert tasks["crf-only-1.2"].is_done()
    assert "crf-only-1.2" in tasks["crf-first-1.2"].needs
    tasks["crf-first-1.2"].do()
    assert tasks["crf-first-1.2"].is_done()
    crf_first = next(item for item in TABLES["schedules"] if item.name == "crf-first")
    assert trainings.divergence(Run(crf_first, 1, 2)) == "crf-only-1.2: the loss is nan"
    assert not trainings.divergence(Run(crf_first, 1, 1))


def test_seconds_are_those_of_the_logs(output: Path, voc: Path) -> None:
    found = Trainings(output, settings_of(voc), Seeds((1,), (1,))).seconds("table1")
    assert set(found) == {"fcn8s-1", "longer-1.1", "crf-only-1.1", "crfrnn-1.1"}
    assert all(seconds > 0 for seconds in found.values())
