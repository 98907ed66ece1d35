"""Types of arguments, the options that name a model, and one line for errors."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.commands import refusal

from crfasrnn.commands import options
from crfasrnn.pictures.label_maps import write_labels


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
        (options.class_count, ["1", "256", "two"]),
        (options.size, ["0", "big", "Native"]),
        (options.sizes, ["", "9,x", "9,", "9,0"]),
        (options.label, ["256", "-1", "", "sky"]),
        (options.class_ids, ["", "0,cat", "0,0", "256", "1,,2", "-1", "3-1", "0-256", "1-", "0-3,2", "9" * 5000]),
    ],
)
def test_words_that_are_not(kind: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
            kind(text)


def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = options.Parser(prog="paint")
    options.add_model(parser)
    assert parser.parse_args([]).model == "voc-animals-slim"
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--size", "0"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error == "error: argument --size: '0' is not a size in pixels, 1 to 65536 (see paint --help)\n"


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
    assert f"{str(labels)!r} would be overwritten by the result for {str(photograph)!r}" in message
    assert photograph.read_bytes() == labels.read_bytes() == before
