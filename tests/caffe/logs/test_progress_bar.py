"""Progress is shown on a terminal, below the log lines, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from support.commands import caffe

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


def on_a_terminal(arguments: list[str], cwd: Path) -> str:
    """What a Python program writes to stderr where that is a terminal."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with subprocess.Popen([sys.executable, *arguments], cwd=cwd, stderr=child) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(parent)
        assert process.wait(timeout=60) == 0
    return shown.decode()


def test_a_terminal_gets_a_bar_and_a_file_none(workplace: Path) -> None:
    shown = on_a_terminal(["-m", "caffe", "train", "-solver", "solver.prototxt"], workplace)
    assert re.search(r"6/6 \[.*iteration", shown)
    assert re.search(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:\d+\] Iteration 4 \(", shown)
    assert "6/6" not in caffe("train", "-solver", "solver.prototxt", cwd=workplace)


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
