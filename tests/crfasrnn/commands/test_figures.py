"""`crfasrnn figures`: what its commands write, print and refuse."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from support.commands import status
from support.crfasrnn.figures import text_log, two_methods

from crfasrnn.crf.module import CrfRnn
from crfasrnn.pictures.label_maps import voc_palette
from crfasrnn.pictures.photographs import read_image


def test_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, last = two_methods(tmp_path)
    options = ["--images", tmp_path / "images", "--masks", tmp_path / "masks", "--classes", "0,1", "--count", "1"]
    predictions = ["--predictions", f"FCN={first}", "--predictions", f"CRF={last}"]
    for name in ("sheet.png", "sheet.svg"):
        assert status("figures", "cases", *options, *predictions, "-o", tmp_path / name) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "largest gain  e  50.0 -> 100.0",
        "median        a  50.0 -> 56.2",
        "largest loss  f  50.0 -> 0.0",
    ]
    picture = (255 * matplotlib.image.imread(tmp_path / "sheet.png")[..., :3]).round().astype(np.uint8)
    share = (picture == voc_palette()[1]).all(-1).mean()
    assert share > 0.1
    assert (tmp_path / "sheet.svg").read_text().lstrip().startswith("<?xml")


def test_crf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CrfRnn(3).save_caffemodel(tmp_path / "x.caffemodel")
    (tmp_path / "classes.txt").write_text("0 background\n8 cat\n12 dog\n")
    arguments = [tmp_path / "x.caffemodel", "--names", tmp_path / "classes.txt", "-o", tmp_path / "crf.png"]
    assert status("figures", "crf", *arguments) == 0
    assert matplotlib.image.imread(tmp_path / "crf.png").std() > 0.05
    (tmp_path / "x.caffemodel").rename(tmp_path / "final.caffemodel")
    assert status("figures", "crf", tmp_path, "-o", tmp_path / "folder.svg") == 0  # with the names beside
    assert status("figures", "crf", tmp_path, *arguments[1:3], "-o", tmp_path / "file.svg") == 0
    (tmp_path / "final.caffemodel").rename(tmp_path / "x.caffemodel")
    assert status("figures", "crf", arguments[0], "-o", tmp_path / "beside.svg") == 0
    pictures = [(tmp_path / f"{name}.svg").read_text() for name in ("folder", "file", "beside")]
    assert len({len(re.findall("<use", picture)) for picture in pictures}) == 1
    (tmp_path / "classes.txt").write_text("0 background\n")
    assert status("figures", "crf", *arguments) == 1
    assert "1 class names for 3 classes" in capsys.readouterr().err


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CrfRnn(21).save_caffemodel(tmp_path / "x.caffemodel")
    assert status("figures", "crf", tmp_path / "x.caffemodel", "-o", tmp_path / "x.xyz") == 1
    assert "cannot write figure" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.caffemodel"]


def test_curves_of_text_and_json_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.log").write_text(text_log())
    lines = [f'{{"event": "train", "iteration": {iteration}, "loss": {9 - iteration}}}' for iteration in range(5)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    logs = (tmp_path / "net.log", tmp_path)
    assert status("figures", "curves", *logs, "-o", tmp_path / "loss.png") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'loss.png'}\n"
    picture = read_image(tmp_path / "loss.png")
    assert picture.shape[1] > 2 * picture.shape[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_a_log_without_losses_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.log").write_text("nothing\n")
    for name, message in (("net.log", "has no line"), ("none.log", "cannot read log")):
        assert status("figures", "curves", tmp_path / name, "-o", tmp_path / "loss.png") == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
    assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize("kind", ["cases", "crf", "curves"])
def test_help_and_wrong_command_lines(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("figures", kind, "--help") == 0
    assert "--output" in capsys.readouterr().out
    assert status("figures", kind) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith(f"(see crfasrnn figures {kind} --help)\n")


def test_a_class_0_that_is_no_background_is_drawn(tmp_path: Path) -> None:
    _, first, last = two_methods(tmp_path)
    (tmp_path / "names.txt").write_text("sky\ntree\n")
    (tmp_path / "colours.txt").write_text("tree #0080ff\n")
    options = ["--images", tmp_path / "images", "--masks", tmp_path / "masks", "--names", tmp_path / "names.txt"]
    predictions = ["--predictions", f"FCN={first}", "--predictions", f"CRF={last}", "--count", 1]
    given = [*options, *predictions, "--colours", tmp_path / "colours.txt", "-o", tmp_path / "sheet.png"]
    assert status("figures", "cases", *given) == 0
    picture = (255 * matplotlib.image.imread(tmp_path / "sheet.png")[..., :3]).round().astype(np.uint8)
    for colour in (voc_palette()[2], [0, 128, 255]):
        assert (picture == colour).all(-1).mean() > 0.02
