"""Inference without the copies in a zero border gives what the net gives, for any net and size; bfloat16 stays close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import caffe
from caffe.errors import CaffeError
from caffe.fastpath import bands
from caffe.fastpath.border import plan_axis
from caffe.fastpath.inference import Inference
from caffe.layers.window import Window
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FILLERS = {"weight_filler": {"type": "msra"}, "bias_filler": {"type": "gaussian", "std": 0.3}}
SIZES = ((1, 1), (7, 40), (61, 33), (64, 96))


def conv(bottom: Top, channels: int, pad: int = 1, kernel: int = 3, **options: int) -> Top:
    return L.ReLU(
        L.Convolution(bottom, num_output=channels, kernel_size=kernel, pad=pad, **options, **FILLERS), in_place=True
    )


def pool(bottom: Top, **options: object) -> Top:
    return L.Pooling(bottom, **{"kernel_size": 2, "stride": 2, **options})


def fcn(n: NetSpec) -> None:
    """FCN-8s in small: three poolings, two of them read on the side, a wide last kernel, crops."""
    n.conv1 = conv(n.data, 6, pad=60)
    n.conv1b = conv(n.conv1, 6)
    n.pool1 = pool(n.conv1b)
    n.conv2 = conv(n.pool1, 8)
    n.pool2 = pool(n.conv2)
    n.conv3 = conv(n.pool2, 8)
    n.pool3 = pool(n.conv3)
    n.fc6 = conv(n.pool3, 10, pad=0, kernel=5)
    n.drop6 = L.Dropout(n.fc6, in_place=True)
    n.score = L.Convolution(n.drop6, num_output=3, kernel_size=1, **FILLERS)
    n.score_pool2 = L.Convolution(n.pool2, num_output=3, kernel_size=1, **FILLERS)
    n.score_pool1 = L.Convolution(n.pool1, num_output=3, kernel_size=1, **FILLERS)


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


def made(body: Callable[[NetSpec], None], size: tuple[int, int] = (64, 64), batch: int = 1) -> caffe.Net:
    n = NetSpec()
    n.data = L.Input(shape={"dim": [batch, 3, *size]})
    body(n)
    caffe.set_random_seed(3)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(2).normal(size=net.blobs["data"].shape)
    return net


def outputs(net: caffe.Net, forward: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in forward().items()}


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


def test_another_size_and_image_need_no_new_net() -> None:
    net = made(fcn, SIZES[-1])
    inference = Inference(net)
    inference.forward()
    for size in SIZES:
        net.blobs["data"].reshape(1, 3, *size)
        net.reshape()
        net.blobs["data"].data[...] = np.random.default_rng(4).normal(size=(1, 3, *size))
        found = outputs(net, inference.forward)
        fresh = made(fcn, size)
        fresh.blobs["data"].data[...] = net.blobs["data"].data
        for name, value in outputs(fresh, fresh.forward).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


def test_the_border_is_left_out() -> None:
    """As many rows as the image has and what stands at the border's two ends, instead of all 700."""
    vgg = [Window(3), Window(3, pad=1), Window(2, 2, rounds_up=True)]
    stage = plan_axis([vgg], 500, 100)[0]
    assert len(stage.take) < 520
    assert [len(places) for places in stage.restore] == [698, 698, 349]
    assert plan_axis([vgg], 500, 1)[0].take == list(range(502))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*(st.integers(1, 3),) * 2, st.integers(0, 2), st.integers(1, 2)), min_size=1, max_size=4),
    st.integers(20, 40),
    st.integers(1, 9),
)
def test_bands_are_rows_of_the_whole(windows: list[tuple[int, int, int, int]], height: int, rows: int) -> None:
    """Chains of convolutions with any windows; the sums of small integers are exact in any order."""
    generator = torch.Generator().manual_seed(height)
    x = torch.randint(-2, 3, (2, 2, height, 5), generator=generator).double()
    weights = [torch.randint(-1, 2, (2, 2, kernel, 1), generator=generator).double() for kernel, *_ in windows]
    slides = []
    for kernel, stride, pad, dilation in windows:
        extent = dilation * (kernel - 1) + 1
        pad = min(pad, extent - 1)  # no window sees padding alone
        slides.append(Window(kernel, stride, pad, dilation))
    whole, length = x, height
    for weight, slide in zip(weights, slides):
        length = slide.output(length)
        assume(length > 0)
        whole = F.conv2d(whole, weight, None, (slide.stride, 1), (slide.pad, 0), (slide.dilation, 1))

    def part(k: int, y: torch.Tensor, outside: tuple[int, int]) -> torch.Tensor:
        return F.conv2d(F.pad(y, (0, 0, *outside)), weights[k], None, (slides[k].stride, 1), 0, (slides[k].dilation, 1))

    assert torch.equal(bands.run(x, slides, part, rows), whole)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_chain_of_windows_keeps_every_value(data: st.DataObject) -> None:
    """Along one axis, by a sum over windows that tells any two of them apart, against the same on the full axis."""
    numbers = st.integers(1, 3)
    length, pad = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 40))
    stages, size = [], length + 2 * pad
    for _ in range(data.draw(numbers)):
        stage: list[Window] = []
        for _ in range(data.draw(numbers)):
            kernel, stride, dilation = data.draw(numbers), data.draw(numbers), data.draw(numbers)
            around = data.draw(st.integers(0, kernel - 1)) if stages or stage else 0
            window = Window(kernel, stride, around, dilation, rounds_up=data.draw(st.booleans()))
            if window.output(size) < 1 or size + 2 * around < window.extent:
                continue
            size = window.output(size)
            stage.append(window)
        if stage:
            stages.append(stage)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = {id(slide): rng.normal(size=slide.kernel) for stage in stages for slide in stage}

    def slid(slide: Window, x: np.ndarray) -> np.ndarray:
        cells = np.concatenate([np.zeros(slide.pad), x, np.zeros(slide.pad + 20)])
        reach = np.arange(slide.kernel) * slide.dilation
        starts = np.arange(slide.output(len(x))) * slide.stride
        return np.cos(cells[starts[:, None] + reach] @ weights[id(slide)] + 0.3)

    full = short = np.pad(rng.normal(size=length), pad)
    for stage, plan in zip(stages, plan_axis(stages, length, pad)):
        short = short[plan.take]
        for slide, places in zip(stage, plan.restore):
            full, short = slid(slide, full), slid(slide, short)
            np.testing.assert_allclose(short[places], full, rtol=0, atol=1e-12)


def test_nets_without_a_border_run_as_they_are() -> None:
    def same(n: NetSpec) -> None:
        n.conv1 = conv(n.data, 5)
        n.conv2 = conv(n.conv1, 5)

    net = made(same)
    expected = outputs(net, net.forward)
    for name, value in outputs(net, Inference(net).forward).items():
        np.testing.assert_array_equal(value, expected[name])


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
