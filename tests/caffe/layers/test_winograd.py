"""Winograd's convolution against the sum that defines it, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import caffe
from caffe.fastpath.inference import Inference
from caffe.layers import winograd
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L


@pytest.mark.parametrize(
    ("size", "pad"),
    [
        ((1, 1), (1, 1)),
        ((4, 4), (1, 1)),
        ((5, 18), (0, 3)),
        ((31, 3), (2, 0)),
        ((37, 67), (1, 1)),
        ((3, 1), (0, 5)),
        ((3, 2), (40, 40)),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_is_the_convolution(size: tuple[int, int], pad: tuple[int, int], batch: int) -> None:
    draws = torch.Generator().manual_seed(5)
    x, weight, bias = (torch.randn(shape, generator=draws) for shape in ((batch, 40, *size), (24, 40, 3, 3), (24,)))
    for b in (bias, None):
        expected = F.conv2d(x.double(), weight.double(), None if b is None else b.double(), padding=pad)
        given = x.contiguous(memory_format=torch.channels_last)
        found = winograd.convolve(given, winograd.transformed(weight), b, pad)
        assert found.shape == expected.shape
        assert float((found - expected).abs().max() / expected.abs().max()) < 5e-6


@pytest.mark.parametrize("pad", [20, 1], ids=["wide border", "none"])
def test_many_channels_in_a_net_give_the_nets_outputs(pad: int) -> None:
    n = NetSpec()
    filler = {"weight_filler": {"type": "msra"}, "bias_filler": {"type": "gaussian", "std": 0.3}}
    n.data = L.Input(shape={"dim": [2, 3, 20, 13]})
    n.conv1 = L.Convolution(n.data, num_output=192, kernel_size=3, pad=pad, **filler)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, num_output=192, kernel_size=3, pad=1, **filler)
    n.conv3 = L.Convolution(n.conv2, num_output=192, kernel_size=3, **filler)
    caffe.set_random_seed(3)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.blobs["data"].data[...] = torch.randn(2, 3, 20, 13, generator=torch.Generator().manual_seed(1))
    expected = net.forward()["conv3"].copy()
    inference = Inference(net)
    assert [params[0].shape[1] for params in inference._fast._kept if params] == [3, 36, 36]
    assert abs(inference.forward()["conv3"] - expected).max() < 1e-5 * abs(expected).max()
