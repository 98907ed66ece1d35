"""`crfasrnn train`: from one's own pictures to labels, and errors of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import refusal, status
from support.crfasrnn.training import WIDTH, own_pictures

from crfasrnn.figures.curves import read_curves
from crfasrnn.pictures.label_maps import read_labels


def test_own_pictures_in_five_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    own_pictures(tmp_path, 8)
    source = ("--images", "photos", "--masks", "masks")
    assert status("data", "split", *source, "--output", "own", "--share", "0.25") == 0
    for name in ("train", "val"):
        assert status("data", "lmdb", *source, "--list", f"own/{name}.txt", "--output", f"own/{name}") == 0
    tiny = ("--data", "own", "--width", WIDTH, "--iterations", 10)
    assert status("train", "slim-fcn8s", *tiny, "--scratch") == 0
    assert status("train", "slim-crfrnn", *tiny) == 0
    assert "--model own/slim-crfrnn/deploy.prototxt" in capsys.readouterr().out
    for recipe in ("slim-fcn8s", "slim-crfrnn"):
        assert {path.name for path in Path("own", recipe).iterdir()} == {
            *("train.prototxt", "val.prototxt", "deploy.prototxt", "solver.prototxt", "classes.txt", "job.json"),
            *("final.caffemodel", "log.jsonl", "train.log", "training.png"),
        }
        curves = read_curves(Path("own", recipe, "log.jsonl"))
        assert list(curves.mean_iu) == list(range(1, 11))
    model = ("--model", "own/slim-crfrnn/deploy.prototxt", "--weights", "own/slim-crfrnn/final.caffemodel")
    assert status("segment", "photos/p1.png", *model, "--output", "out") == 0
    assert read_labels("out/p1_labels.png").max() <= 2


def test_errors_of_the_command_are_one_line(tmp_path: Path, capsys: Any) -> None:
    for arguments, message in (
        (("slim-crfrnn", "--data", tmp_path), "starts from the result of slim-fcn8s"),
        (("slim-fcn8s", "--data", tmp_path), "starts from VGG-16: give it with --weights"),
        (("fcn16s", "--data", tmp_path, "--scratch", "--weights", "x"), "--weights or --scratch, not both"),
        (("slim-fcn8s", "--data", tmp_path, "--iterations", "0"), "'0' is not a number of steps"),
    ):
        assert message in refusal(capsys, "train", *arguments)
