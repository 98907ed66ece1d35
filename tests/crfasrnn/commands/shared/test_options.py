"""Types of arguments, the options that name a model, and one line for errors."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.commands import refusal, status

from crfasrnn.commands.shared import options
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.segmentation.models import DEFAULT


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.positive, "65536", 65536),
        (options.pixels, "65536", 65536),
        (options.counts, "5,10", [5, 10]),
        (options.positive_count, "2147483647", 2147483647),
        (options.class_count, "255", 255),
        (options.size, "native", "native"),
        (options.size, "500", 500),
        (options.sizes, "256,384", [256, 384]),
        (options.class_ids, "0,8,255", [0, 8, 255]),
        (options.class_ids, "12,0-3, 5 - 6", [12, 0, 1, 2, 3, 5, 6]),
        (options.label, "11", 11),
        (options.native_or_sizes, "native,256", [None, 256]),
        (options.mean_field_counts, "1,10000", [1, 10000]),
        (options.settings, "0", 0),
        (options.folds, "2", 2),
        (options.seed, "9223372036854775807", (1 << 63) - 1),
        (options.fraction, "0.5", 0.5),
        (options.part, "3/12", (3, 12)),
    ],
)
def test_words_that_are_understood(kind: Callable[[str], object], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (options.pixels, ["0", "1.5", "9" * 5000]),
        (options.counts, ["", "5,0"]),
        (options.positive, ["0", "-1", "65537", "1.5", "x", ""]),
        (options.positive_count, ["0", "2147483648", "1e3"]),
        (options.resamples, ["0", "2147483648"]),
        (options.mebibytes, ["0", "8 GiB"]),
        (options.class_count, ["1", "256", "two"]),
        (options.size, ["0", "big", "Native"]),
        (options.sizes, ["", "9,x", "9,", "9,0"]),
        (options.label, ["256", "-1", "", "sky"]),
        (options.native_or_sizes, ["native,", "Native", "0"]),
        (options.mean_field_counts, ["0", "10001", "5,"]),
        (options.settings, ["-1", "65537", "many"]),
        (options.folds, ["1", "-2", "65537"]),
        (options.processes, ["0", "-3", "1025"]),
        (options.gpu, ["-1", "cuda", ""]),
        (options.part, ["0/3", "4/3", "1", "1/", "/2", "a/b", "1/-2", "1/2/3"]),
        (options.seed, ["-1", "9223372036854775808"]),
        (options.fraction, ["0", "1", "-0.1", "nan", "half"]),
        (options.class_ids, ["", "0,cat", "0,0", "256", "1,,2", "-1", "3-1", "0-256", "1-", "0-3,2", "9" * 5000]),
    ],
)
def test_words_that_are_not(kind: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match=r"is not (a|the) "):
            kind(text)


def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = options.Parser(prog="paint")
    options.add_model(parser)
    assert parser.parse_args([]).model == DEFAULT
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--size", "0"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error == "error: argument --size: '0' is not a size in pixels, 1 to 65536 (see paint --help)\n"


def test_what_does_not_go_together_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("data", "list", "--coco", "x.json") == 2
    message = "error: --coco needs --images, too (see crfasrnn data list --help)\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "command", ["segment x.png", "densecrf x.png y.png -o z.png", "evaluate --voc x", "tune --voc x --output y"]
)
def test_a_device_that_is_not_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*command.split(), "--gpu", 99) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"error: --gpu 99: this PyTorch finds (no|\d+) CUDA devices?(, 0 is|: leave --gpu out).*\n", error
    )


def test_what_is_read_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = tmp_path / "photo.png"
    write_labels(photograph, np.zeros((4, 5), np.uint8))
    (tmp_path / "same.png").symlink_to(photograph)
    before = photograph.read_bytes()
    for output in (photograph, tmp_path / "same.png", tmp_path / "." / "photo.png"):
        message = refusal(capsys, "densecrf", photograph, photograph, "-o", output)
        assert f"{str(output)!r} would be overwritten, which is to be read" in message
    labels = tmp_path / "photo_labels.png"
    labels.write_bytes(before)
    message = refusal(capsys, "segment", photograph, labels, "--output", tmp_path)
    assert f"{str(labels)!r} would be overwritten, which is to be read" in message
    assert photograph.read_bytes() == labels.read_bytes() == before
