"""caffe test: its log beside that of genuine Caffe, its precisions beside rounded numbers, and wrong use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from support.caffe.caffe_logs import assert_same, golden_log, messages
from support.commands import caffe

from caffe import mode
from caffe.net.net import Net

WIDE = """
layer { name: "x" type: "DummyData" top: "x"
  dummy_data_param { shape { dim: 1 dim: 3 dim: 3 dim: 3 } data_filler { value: 0.777 } } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { value: 0.1234 } } }
layer { name: "mean" type: "Reduction" bottom: "y" top: "mean" reduction_param { operation: MEAN } }
"""


def test_it_logs_like_caffe(workplace: Path) -> None:
    caffe("train", "-solver", "solver.prototxt", "-weights", "tiny_init.caffemodel", cwd=workplace)
    log = caffe(
        "test", "-model", "trainval.prototxt", "-weights", "tiny_iter_12.caffemodel", "-iterations", "4", cwd=workplace
    )
    assert_same(messages(log), messages(golden_log("test.log")))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_precision(tmp_path: Path, precision: str) -> None:
    (tmp_path / "net.prototxt").write_text(WIDE)
    net = Net(str(tmp_path / "net.prototxt"), mode.TEST)
    net.save(tmp_path / "weights.caffemodel")
    options = ("-model", "net.prototxt", "-weights", "weights.caffemodel", "-iterations", "1")
    log = caffe("test", *options, "-precision", precision, cwd=tmp_path)
    kind = mode.dtype(precision)
    factors = [float(torch.tensor(value).to(kind)) for value in (0.777, 0.1234)]
    expected = float(torch.tensor(27 * factors[0] * factors[1]).to(kind))
    assert float(re.search(r"\] mean = (\S+)", log)[1]) == pytest.approx(expected, rel=1e-5)  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-weights", "tiny_init.caffemodel"], "Need a model definition"),
        (["-model", "trainval.prototxt"], "Need model weights"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(workplace: Path, arguments: list[str], words: str) -> None:
    assert words in caffe("test", *arguments, cwd=workplace, status=1)
