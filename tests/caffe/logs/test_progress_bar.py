"""Progress is shown on a terminal, below the log lines, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

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
