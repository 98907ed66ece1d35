"""Inference without the copies in a zero border gives what the net gives, for any net and size; bfloat16 stays close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.caffe.chains import FILLERS, SIZES, conv, fcn, made, outputs, pool

import caffe
from caffe.errors import CaffeError
from caffe.fastpath.inference import Inference
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2


def odd(n: NetSpec) -> None:
    """Strides, dilation, groups, unequal kernels, averages and overlapping windows."""
    n.first = L.Convolution(n.data, num_output=4, kernel_h=5, kernel_w=3, pad_h=30, pad_w=41, stride=2, **FILLERS)
    n.act = L.PReLU(n.first)
    n.mean = pool(n.act, pool="AVE", kernel_size=3, stride=2, pad=1)
    n.wide = L.Convolution(n.mean, num_output=6, kernel_size=3, dilation=3, pad=3, group=2, **FILLERS)
    n.sig = L.Sigmoid(n.wide)
    n.most = pool(n.sig, kernel_size=3, stride=3)
    n.last = L.Convolution(n.most, num_output=2, kernel_size=2, pad=1, bias_term=False, weight_filler={"type": "msra"})


def cut_short(n: NetSpec) -> None:
    """A layer that looks at the whole map ends the trunk."""
    n.conv1 = conv(n.data, 5, pad=25)
    n.pool1 = pool(n.conv1)
    n.norm = L.LRN(n.pool1, local_size=3, norm_region="WITHIN_CHANNEL")
    n.conv2 = conv(n.norm, 5)


def residual(n: NetSpec) -> None:
    """Branches are the net's business."""
    n.conv1 = conv(n.data, 5, pad=25)
    n.conv2 = conv(n.conv1, 5)
    n.sum = L.Eltwise(n.conv1, n.conv2)
    n.conv3 = conv(n.sum, 5)


NETS = (fcn, odd, cut_short, residual)


@pytest.mark.parametrize("body", NETS, ids=lambda body: body.__name__)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("band", [None, 3000], ids=["whole", "bands"])
def test_outputs_are_those_of_the_net(
    body: Callable[[NetSpec], None], size: tuple[int, int], band: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if band is not None:
        monkeypatch.setattr("caffe.fastpath.chain._BAND_BYTES", band)  # as if all maps were large
    net = made(body, size, batch=2)
    expected = outputs(net, net.forward)
    found = outputs(net, Inference(net).forward)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.abs(found[name] - value).max() <= 1e-5 * np.abs(value).max(), name


@pytest.mark.parametrize("body", [fcn, odd], ids=lambda body: body.__name__)
def test_bf16_is_close_and_scores_stay_float32(body: Callable[[NetSpec], None]) -> None:
    net = made(body)
    expected = outputs(net, net.forward)
    for name, value in outputs(net, Inference(net, "bf16").forward).items():
        error = np.abs(value - expected[name]).max() / np.abs(expected[name]).max()
        assert 0 < error < 0.05, name  # 2^-9 per rounding, a few layers
        assert value.dtype == np.float32


def test_errors(tmp_path: Path) -> None:
    net = made(fcn)
    with pytest.raises(CaffeError, match="precision is one of float32, bf16, not 'fp8'"):
        Inference(net, "fp8")
    definition = caffe_pb2.NetParameter()
    definition.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=[1, 3, 8, 8])
    with pytest.raises(CaffeError, match="phase TRAIN"):
        Inference(caffe.Net(definition, caffe.TRAIN))
