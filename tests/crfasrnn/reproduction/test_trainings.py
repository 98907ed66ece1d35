"""What is trained: each once, on images in an order that depends on the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import status
from support.crfasrnn.reproduction import CLASSES, LISTS, settings_of

from crfasrnn.datasets.databases import IMAGES, read_database
from crfasrnn.reproduction.experiments import LONGER
from crfasrnn.reproduction.settings import Settings
from crfasrnn.reproduction.trainings import Trainings
from crfasrnn.training.limits import StoppedError


def test_seeds_see_the_images_in_another_order_and_none_that_is_held_out(voc: Path, output: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    fit, held = settings.training()
    assert {example.name for example in fit} | {example.name for example in held} == {
        *LISTS["train"],
        *LISTS["train_sbd"],
    }
    assert len(held) == 2
    assert {example.name for example in held} < set(LISTS["train"])
    orders = []
    for seed in (1, 2):
        entries = [image.tobytes() for _, image in read_database(output / "data" / f"train-seed{seed}" / IMAGES)]
        assert len(entries) == 6 * 2 * 2
        orders.append(entries)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_again_nothing_is_trained(output: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")}
    assert len(before) == 6
    page = (output / "table1.md").read_text()
    assert status("reproduce", "table1", "--output", output, "--threads", 1) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")} == before
    assert (output / "table1.md").read_text() == page
    capsys.readouterr()
    assert status("reproduce", "table1", "--output", output, "--dry-run") == 0
    assert capsys.readouterr().out.count(": done\n") == 6


def test_trainings_are_stopped_when_the_time_is_over(voc: Path, tmp_path: Path) -> None:
    shown: list[str] = []
    trainings = Trainings(tmp_path, settings_of(voc), [1], lambda: True, shown.append)
    with pytest.raises(StoppedError):
        trainings.run("iterations")
    assert shown[-1].startswith("stopped at step 1 of 3500")
    assert not list(tmp_path.rglob("final.caffemodel"))


def test_what_diverged_is_noted(voc: Path, tmp_path: Path) -> None:
    trainings = Trainings(tmp_path, settings_of(voc), [1, 2])
    folder = trainings.job(LONGER, 2).output
    folder.mkdir()
    (folder / "diverged.txt").write_text("the loss is nan\n")
    assert trainings.divergences(LONGER) == ["the loss is nan"]


def test_seconds_are_those_of_the_logs(output: Path, voc: Path) -> None:
    found = Trainings(output, settings_of(voc), [1]).seconds("table1")
    assert set(found) == {f"{name}-seed1" for name in ("fcn8s", "longer", "crfrnn")}
    assert all(seconds > 0 for seconds in found.values())
