"""`crfasrnn reproduce`: errors of its command line, and what a folder remembers of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.commands import status
from support.crfasrnn.reproduction import miniature_voc, settings_of


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_mistyped_path_is_one_error_and_is_not_kept(tmp_path: Path, capsys: Any, dry: list[str]) -> None:
    voc = miniature_voc(tmp_path / "VOC2012")
    cases = (
        (tmp_path / "nope", "--scratch", "'train'|'val'"),
        (voc, "--weights=no.npz", "no weights 'no.npz'"),
        (voc, "--scratch", "'train' has 5 images, too few to hold 150 out"),
    )
    for where, weights, words in cases:
        assert status("reproduce", "table1", "--voc", where, weights, "--output", tmp_path / "out", *dry) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert re.search(words, error)
        assert not (tmp_path / "out").exists()


def test_a_dry_run_trains_nothing(tmp_path: Path, capsys: Any) -> None:
    voc, output = miniature_voc(tmp_path / "VOC2012"), tmp_path / "out"
    data = ("--voc", voc, "--scratch", "--classes", "0,8,15", "--held-out", 2)
    few = ("--dry-run", "--seeds", "1", "--variants", "potts,untied")
    assert status("reproduce", "ablations", "--output", output, *data, *few) == 0
    assert set(re.findall(r"(\w+)-1[.1]*: slim-", capsys.readouterr().out)) == {"fcn8s", "crfrnn", "potts", "untied"}
    assert not output.exists()
    assert status("reproduce", "ablations", "--output", output, *data, *few[:-1], "pots") == 1
    assert "no variant 'pots': one of shared, per-class" in capsys.readouterr().err


def test_other_settings_are_refused(tmp_path: Path, capsys: Any) -> None:
    voc, output = miniature_voc(tmp_path / "VOC2012"), tmp_path / "out"
    output.mkdir()
    settings_of(voc).save(output)
    assert status("reproduce", "table1", "--output", output, "--held-out", 1) == 1
    error = capsys.readouterr().err
    assert re.search(r"error: .* holds experiments with held_out 2, now 1: leave the option out", error)
    assert status("reproduce", "table1", "--output", tmp_path / "new") == 1
    assert "the first time, give --voc VOC2012 and --weights" in capsys.readouterr().err
