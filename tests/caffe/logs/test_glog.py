"""Log lines have glog's form, which log parsers read; scripts for pycaffe get them unasked, and glog's environment is obeyed."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.warm import python

from caffe.logs.glog import GlogFormatter, init_log, log, logger, number, signed


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The log afterwards is what it was."""
    level = logger.level
    yield
    logger.setLevel(level)


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


def said(program: str, **environment: str) -> list[str]:
    """What a program of its own writes to stderr, without the lines' prefixes; it writes nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GLOG_")}
    done = subprocess.run(
        [python(), "-c", program], capture_output=True, text=True, check=True, env={**clean, **environment}
    )
    assert done.stdout == ""
    return [re.sub(r"^[IWEF].*\] ", "", line) for line in done.stderr.splitlines()]


SPEAK = "from caffe.logs.glog import logger; logger.info('info'); logger.warning('warning'); logger.error('error')"


@pytest.mark.parametrize(
    ("program", "environment", "lines"),
    [
        ("import caffe; caffe.log('said')", {}, ["said"]),
        ("import caffe; caffe.log('said')", {"GLOG_minloglevel": "1"}, []),
        ("import caffe; caffe.TEST; " + SPEAK, {}, ["info", "warning", "error"]),
        ("import caffe; caffe.TEST; " + SPEAK, {"GLOG_minloglevel": "2"}, ["error"]),
        ("import caffe; caffe.init_log(1); caffe.TEST; " + SPEAK, {}, ["warning", "error"]),
        # What does not use pycaffe's names is told what went wrong, no more.
        (SPEAK, {}, ["warning", "error"]),
        (SPEAK, {"GLOG_minloglevel": "0"}, ["info", "warning", "error"]),
        (SPEAK, {"GLOG_minloglevel": "3"}, []),
        # A program's own logging gets no line twice.
        (
            "import logging; logging.basicConfig(level=0); import caffe; caffe.TEST; " + SPEAK,
            {},
            ["info", "warning", "error"],
        ),
        ("import logging; logging.getLogger('caffe').setLevel(40); import caffe; caffe.TEST; " + SPEAK, {}, ["error"]),
    ],
)
def test_who_uses_pycaffe_hears_what_it_says(program: str, environment: dict[str, str], lines: list[str]) -> None:
    assert said(program, **environment) == lines


def test_a_solver_of_a_script_logs_as_genuine_caffes(tmp_path: Path) -> None:
    (tmp_path / "s.prototxt").write_text(
        """net_param {
        layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } } }
        layer { name: "f" type: "InnerProduct" bottom: "d" top: "f" inner_product_param { num_output: 1 } }
        layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 2 dim: 1 } } }
        layer { name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" } }
        base_lr: 0.1 lr_policy: "fixed" display: 1 max_iter: 3 solver_mode: CPU snapshot_prefix: "s" """
    )
    lines = said(f"import caffe; caffe.SGDSolver({str(tmp_path / 's.prototxt')!r}).step(3)")
    losses = [line for line in lines if re.match(r"Iteration \d .*, loss = ", line)]
    assert len(losses) == 3


def test_numbers_are_printed_as_streams_of_cpp_do() -> None:
    assert [number(value) for value in (0.1, 1e-7, 123456789.0, 2.0, float("nan"))] == [
        "0.1",
        "1e-07",
        "1.23457e+08",
        "2",
        "nan",
    ]
