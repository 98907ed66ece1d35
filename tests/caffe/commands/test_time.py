"""caffe time: its log beside that of genuine Caffe, whole passes, and wrong use."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.caffe.caffe_logs import assert_same, golden_log, messages
from support.commands import caffe


def test_time_logs_like_caffe(workplace: Path) -> None:
    log = caffe("time", "-model=trainval.prototxt", "-iterations=3", cwd=workplace)
    ours, theirs = messages(log), messages(golden_log("time.log"))
    random_start = next(i for i, line in enumerate(theirs) if line.startswith("Initial loss"))
    assert ours[random_start].startswith("Initial loss: ")
    del ours[random_start], theirs[random_start]
    assert_same(ours, theirs)


NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 3 dim: 3 dim: 3 } } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 32 kernel_size: 3 } }
"""


def test_time_of_inference(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    arguments = ("time", "-model", "net.prototxt", "-inference", "-precision=bf16", "-iterations=2")
    said = messages(caffe(*arguments, cwd=tmp_path))
    assert said[-5:] == [
        "Testing for 2 iterations.",
        "Iteration: 1 forward time.",
        "Iteration: 2 forward time.",
        "Average Forward pass.",
        "*** Benchmark ends ***",
    ]
    assert "-inference is for phase TEST" in caffe(*arguments, "-phase", "TRAIN", cwd=tmp_path, status=1)
    assert "precision is one of float32, bf16, not 'half'" in caffe(
        *arguments, "-precision", "half", cwd=tmp_path, status=1
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-model", "trainval.prototxt", "-iterations", "many"], "illegal value 'many'"),
        (["-model", "trainval.prototxt", "-iterations", "0"], "at least 1"),
        (["-model", "trainval.prototxt", "-phase", "DEV"], "TRAIN"),
        (["-modl", "trainval.prototxt"], "unknown command line flag 'modl'"),
        (["-model"], "missing its argument"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(workplace: Path, arguments: list[str], words: str) -> None:
    assert words in caffe("time", *arguments, cwd=workplace, status=1)
