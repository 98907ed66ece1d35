"""Progress: a bar on a terminal, below the log lines; elsewhere a line now and then."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.commands import caffe
from support.terminal import on_a_terminal

from caffe.logs.progress_bar import progress, progress_bar

NET = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 4 dim: 3 } data_filler { value: 1 } } }
layer { name: "fit" type: "InnerProduct" bottom: "data" top: "fit" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "Reduction" bottom: "fit" top: "loss" loss_weight: 1 }
"""
SOLVER = (
    'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 display: 2 snapshot_prefix: "run" solver_mode: CPU'
)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def test_a_terminal_gets_a_bar_and_a_file_none(workplace: Path) -> None:
    shown = on_a_terminal(["-m", "caffe", "train", "-solver", "solver.prototxt"], workplace)
    assert re.search(r"6/6 \[.*iteration", shown)
    assert re.search(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:\d+\] Iteration 4 \(", shown)
    assert "6/6" not in caffe("train", "-solver", "solver.prototxt", cwd=workplace)


def test_lines_that_the_terminal_would_not_get_are_not_above_the_bar(tmp_path: Path) -> None:
    program = """
import logging
from caffe.logs.glog import init_log, logger
from caffe.logs.progress_bar import progress_bar
init_log(min_level=1)
for handler in logger.handlers:
    handler.setLevel(logging.WARNING)
logger.setLevel(logging.INFO)
with progress_bar(3) as show:
    logger.info("unwanted")
    logger.warning("wanted")
    show(3)
"""
    shown = on_a_terminal(["-c", program], tmp_path)
    assert "wanted" in shown.replace("unwanted", "")
    assert "unwanted" not in shown


@pytest.mark.parametrize(
    ("call", "bar"),
    [
        ("list(progress([1, 2, 3], unit='thing', what='looking'))", r"looking: .* 3/3 \[.*thing"),
        ("list(progress(iter([1, 2, 3]), unit='thing'))", r"3thing \["),
        ("bar = progress(unit='thing', total=5, done=3); bar.update(2); bar.close()", r"5/5 \["),
        ("list(progress([1, 2, 3], unit='thing', hidden=True))", ""),
        ("list(progress([1], unit='thing'))", ""),
        ("list(progress([], unit='thing'))", ""),
    ],
)
def test_the_rule_for_a_bar(tmp_path: Path, call: str, bar: str) -> None:
    """Where there are several things to go through, on a terminal, and unless it is hidden."""
    shown = on_a_terminal(["-c", f"from caffe.logs.progress_bar import progress\n{call}"], tmp_path)
    assert re.search(bar, shown) if bar else shown == ""


def test_things_come_through_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    things = [object() for _ in range(3)]
    assert list(progress(things, unit="thing")) == things
    assert list(progress(iter(things), unit="thing")) == things
    with progress_bar(3) as show:
        show(2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_that_says_it_has_no_columns_gets_a_bar(tmp_path: Path) -> None:
    call = "list(progress([1, 2, 3], unit='thing', what='looking'))"
    shown = on_a_terminal(["-c", f"from caffe.logs.progress_bar import progress\n{call}"], tmp_path, columns=0)
    assert re.search(r"looking: 100%.* 3/3 \[.*thing", shown)


def lines(capsys: pytest.CaptureFixture[str], things: Iterable[int], seconds: float, **settings: Any) -> list[str]:
    """What stderr, no terminal here, gets while each of the things takes so many seconds."""
    passed = [0.0]
    for _ in progress(things, unit="image", clock=lambda: sum(passed), **settings):
        passed.append(seconds)
    return capsys.readouterr().err.splitlines()


def test_a_pipe_gets_a_line_after_ten_seconds_and_then_every_minute(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, range(42), 2, what="evaluate") == [
        "evaluate: 5 of 42 images, 74 s left",
        "evaluate: 35 of 42 images, 14 s left",
    ]
    assert lines(capsys, iter(range(6)), 10) == ["1 image"]
    assert lines(capsys, [1, 2], 3600) == ["1 of 2 images, 1 h 0 min left"]
    assert lines(capsys, range(9), 1) == lines(capsys, [1], 100) == []
    assert lines(capsys, range(42), 20, hidden=True) == lines(capsys, range(42), 20, lines=False) == []


def test_a_count_that_is_told_gives_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with progress(unit="setting", what="tune", total=50, done=10, clock=lambda: now) as bar:
        now = 20.0
        bar.update(10)
    assert capsys.readouterr().err == "tune: 20 of 50 settings, 60 s left\n"
