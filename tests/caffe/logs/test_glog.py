"""Log lines have glog's form, which log parsers read, and are silent until somebody asks for them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from caffe.logs import glog
from caffe.logs.glog import GlogFormatter, init_log, log, logger, number, signed


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The log afterwards is what it was."""
    level, handlers, propagate = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
    logger.propagate = propagate
    glog._handler = next((handler for handler in handlers if isinstance(handler, glog._Stderr)), None)


def test_a_line_has_glogs_prefix() -> None:
    record = signed("net.cpp").makeRecord(
        "caffe.net.cpp", logging.WARNING, "elsewhere.py", 218, "top: %s", ("x",), None
    )
    record.created = time.mktime((2024, 3, 5, 13, 4, 5, 0, 0, -1)) + 0.25
    assert GlogFormatter().format(record) == f"W0305 13:04:05.250000 {os.getpid():5d} net.cpp:218] top: x"


@pytest.mark.parametrize(
    ("severity", "letter"),
    [(logging.INFO, "I"), (logging.WARNING, "W"), (logging.ERROR, "E"), (logging.CRITICAL, "F")],
)
def test_the_letter_is_the_severity(severity: int, letter: str, capsys: pytest.CaptureFixture[str]) -> None:
    init_log(0)
    signed("solver.cpp").log(severity, "said")
    assert re.fullmatch(letter + r"\d{4} \S+ +\d+ solver\.cpp:\d+\] said\n", capsys.readouterr().err)


@pytest.mark.parametrize(("least", "letters"), [(0, "IWEF"), (1, "WEF"), (2, "EF"), (3, "F"), (9, "F"), (-1, "IWEF")])
def test_less_severe_lines_are_left_out(
    least: int, letters: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (True, False):
        monkeypatch.setenv("GLOG_minloglevel", str(max(least, 0)))
        init_log(least if given else None)
        for severity in (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            signed("x.cpp").log(severity, "said")
        assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == letters


def test_a_line_of_ones_own_is_signed_as_pycaffes(capsys: pytest.CaptureFixture[str]) -> None:
    init_log(0)
    log("half of 100% done")
    assert re.fullmatch(r"I\d{4} \S+ +\d+ _caffe\.cpp:\d+\] half of 100% done\n", capsys.readouterr().err)


def test_nothing_is_said_before_it_is_asked_for() -> None:
    program = "import caffe; caffe.log('hidden'); caffe.init_log(0); caffe.log('shown')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"I.*\] shown\n", done.stderr)
    assert done.stdout == ""


def test_numbers_are_printed_as_streams_of_cpp_do() -> None:
    assert [number(value) for value in (0.1, 1e-7, 123456789.0, 2.0, float("nan"))] == [
        "0.1",
        "1e-07",
        "1.23457e+08",
        "2",
        "nan",
    ]
