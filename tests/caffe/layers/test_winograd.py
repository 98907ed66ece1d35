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


SIZES = [((1, 1), (1, 1)), ((4, 4), (1, 1)), ((5, 18), (0, 2)), ((31, 3), (2, 0)), ((37, 67), (1, 1)), ((3, 1), (0, 1))]


@pytest.mark.parametrize(("size", "pad"), SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planes", "channels last"])
@pytest.mark.parametrize("weights_alone", [False, True])
def test_gradients_are_the_convolutions(
    size: tuple[int, int], pad: tuple[int, int], batch: int, layout: torch.memory_format, weights_alone: bool
) -> None:
    draws = torch.Generator().manual_seed(6)
    shapes = (batch, 40, *size), (24, 40, 3, 3), (24,)
    for with_bias in (True, False):
        leaves = [torch.randn(shape, generator=draws) for shape in shapes][: 2 + with_bias]
        leaves[0] = leaves[0].contiguous(memory_format=layout)
        found, exact = ([leaf.to(kind).requires_grad_() for leaf in leaves] for kind in (torch.float32, torch.float64))
        y = winograd.convolution(*found[:2], found[2] if with_bias else None, pad, weights_alone)
        expected = F.conv2d(*exact, padding=pad)
        diff = torch.randn(y.shape, generator=draws).contiguous(memory_format=layout)
        grads = [torch.autograd.grad(of, by, diff.to(of)) for of, by in ((y, found), (expected, exact))]
        for ours, theirs in ((y.detach(), expected.detach()), *zip(*grads)):
            assert ours.shape == theirs.shape
            assert float((ours - theirs).abs().max() / theirs.abs().max()) < 5e-6


def test_gradients_are_made_for_those_who_ask() -> None:
    draws = torch.Generator().manual_seed(7)
    x, weight, bias = (torch.randn(shape, generator=draws) for shape in ((2, 8, 9, 10), (6, 8, 3, 3), (6,)))
    for wanted in ((True, False, False), (False, True, False), (False, False, True)):
        given = [leaf.clone().requires_grad_(flag) for leaf, flag in zip((x, weight, bias), wanted)]
        winograd.convolution(*given, (1, 1)).square().sum().backward()
        assert [leaf.grad is not None for leaf in given] == list(wanted)


def test_the_number_of_threads_changes_no_bit() -> None:
    draws = torch.Generator().manual_seed(8)
    shapes = (1, 128, 70, 70), (128, 128, 3, 3), (128,)
    given, diff = [torch.randn(shape, generator=draws) for shape in shapes], torch.randn(shapes[0], generator=draws)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            leaves = [leaf.clone().requires_grad_() for leaf in given]
            y = winograd.convolution(*leaves, (1, 1))
            results.append([y.detach(), *torch.autograd.grad(y, leaves, diff)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*results))
