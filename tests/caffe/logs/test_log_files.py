"""GLOG_log_dir and -log_dir write the files that glog writes."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from pathlib import Path

import pytest
from support.warm import python

from caffe.logs.log_files import TroubleOnce, folder

SPEAK = "import sys; sys.argv[0] = 'solve.py'; import caffe; caffe.log('said'); caffe.layers; "
WARN = "from caffe.logs.glog import logger; logger.warning('doubted')"


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [python(), "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stderr


def test_each_severity_has_a_file_with_what_is_as_severe(tmp_path: Path) -> None:
    stderr = run(SPEAK + WARN, GLOG_log_dir=str(tmp_path))
    assert "] said" in stderr
    assert "] doubted" in stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_symlink()) == [
        "solve.py.INFO",
        "solve.py.WARNING",
    ]
    assert len([path for path in tmp_path.glob("solve.py.*.log.*.*-*.*") if not path.is_symlink()]) == 2
    lines = (tmp_path / "solve.py.INFO").read_text().splitlines()
    assert lines[0].startswith("Log file created at: ")
    assert lines[1].startswith("Running on machine: ")
    assert [line.partition("] ")[2] for line in lines[3:]] == ["said", "doubted"]
    lines = (tmp_path / "solve.py.WARNING").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines[3:]] == ["doubted"]


def test_nothing_is_written_where_stderr_alone_is_asked_for(tmp_path: Path) -> None:
    run(SPEAK, GLOG_log_dir=str(tmp_path), GLOG_logtostderr="1")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_none_is_said_once_and_ends_nothing(tmp_path: Path) -> None:
    stderr = run(SPEAK + WARN, GLOG_log_dir=str(tmp_path / "none"))
    assert stderr.count("no log files: ") == 1
    assert "] said" in stderr
    assert "] doubted" in stderr


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"GLOG_log_dir": "x"}, "x"),
        ({"GLOG_log_dir": "x", "GLOG_logtostderr": "0"}, "x"),
        ({"GLOG_log_dir": "x", "GLOG_logtostderr": "true"}, ""),
        ({}, ""),
    ],
)
def test_where_files_are_wanted(environment: dict[str, str], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLOG_log_dir", "GLOG_logtostderr"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert folder() == where


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_lines_that_are_lost_are_mentioned_once(capsys: pytest.CaptureFixture[str]) -> None:
    kind = type("ToFile", (TroubleOnce, logging.FileHandler), {})
    handler = kind("/dev/full")
    for number in range(900):
        handler.handle(logging.LogRecord("caffe", logging.INFO, "", 0, f"line {number}", None, None))
    assert capsys.readouterr().err == "lines of the log are lost: [Errno 28] No space left on device\n"
    with contextlib.suppress(OSError):
        handler.close()
