"""Mixed precision: what is rounded to bfloat16, and what is not."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import caffe
from caffe import mode
from caffe.errors import CaffeError

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 5 dim: 9 dim: 7 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: {} kernel_size: 3 pad: 1
  weight_filler {{ type: "gaussian" std: 1 }} bias_filler {{ type: "gaussian" std: 1 }} }} }}
"""


def rounded(array: np.ndarray) -> torch.Tensor:
    """The values as bfloat16 holds them, in float64."""
    return torch.from_numpy(array.copy()).bfloat16().double()


def run(outputs: int, precision: str) -> tuple[dict[str, np.ndarray], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Output and gradients of a convolution; and in float64, of the rounded inputs, with the rounded weights' gradient."""
    rng = np.random.default_rng(outputs)
    net = caffe.Net(from_text(outputs), caffe.TRAIN)
    net.blobs["x"].data[...] = rng.standard_normal((2, 5, 9, 7))
    for blob in net.params["conv"]:
        blob.data[...] = rng.standard_normal(blob.data.shape)
    top_diff = rng.standard_normal((2, outputs, 9, 7)).astype(np.float32)
    with mode.precision(precision):
        net.forward()
        net.blobs["y"].diff[...] = top_diff
        net.backward()
    weight, bias = (rounded(blob.data).requires_grad_() for blob in net.params["conv"])
    y = F.conv2d(rounded(net.blobs["x"].data), weight, bias, padding=1)
    y.backward(rounded(top_diff))
    assert weight.grad is not None
    assert bias.grad is not None
    ours = {
        "y": net.blobs["y"].data.copy(),
        "weight": net.params["conv"][0].diff.copy(),
        "bias": net.params["conv"][1].diff.copy(),
    }
    return ours, y.detach(), weight.grad, bias.grad


def from_text(outputs: int) -> caffe.proto.caffe_pb2.NetParameter:
    from google.protobuf import text_format

    net = text_format.Parse("force_backward: true" + NET.format(outputs), caffe.proto.caffe_pb2.NetParameter())
    return net


def test_wide_convolutions_round_their_operands_to_bfloat16() -> None:
    ours, y, weight, bias = run(40, "bf16")
    for name, truth in (("y", y), ("weight", weight), ("bias", bias)):
        error = np.abs(ours[name] - truth.numpy()).max() / np.abs(truth.numpy()).max()
        assert error < 2**-8, name  # the result itself is rounded to 8 bits
        assert ours[name].dtype == np.float32
    plain = run(40, "float32")[0]
    assert np.abs(plain["y"] - ours["y"]).max() > 1e-4  # it makes a difference


def test_narrow_convolutions_which_may_give_scores_stay_float32() -> None:
    half, plain = run(7, "bf16")[0], run(7, "float32")[0]
    assert all(np.array_equal(half[name], plain[name]) for name in plain)


def test_precision_ends_with_its_block_and_other_names_are_refused() -> None:
    with contextlib.suppress(RuntimeError), mode.precision("bf16"):
        assert mode.half_convolutions()
        raise RuntimeError
    assert not mode.half_convolutions()
    with pytest.raises(CaffeError, match="precision is one of float32, bf16, not 'half'"), mode.precision("half"):
        pass
