"""Layers with branches, run at once, give what the net gives, whatever is read on the side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.caffe.chains import FILLERS, SIZES, conv, made, outputs

from caffe.fastpath import region
from caffe.fastpath.inference import Inference
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P


def block(n: NetSpec, name: str, bottom: Top, channels: int) -> Top:
    """An inverted residual block as in MobileNetV2, with another channel's scale."""
    wide = L.Clip(L.Convolution(bottom, num_output=24, kernel_size=1, **FILLERS), min=0, max=6, in_place=True)
    deep = L.Convolution(wide, num_output=24, group=24, kernel_size=3, pad=2, dilation=2, **FILLERS)
    narrow = L.Convolution(L.Clip(deep, min=0, max=6), num_output=channels, kernel_size=1, **FILLERS)
    n[name] = L.Eltwise(bottom, narrow)
    return n[name]


def mobile(n: NetSpec) -> None:
    """Channels cut and joined, residual blocks, an average of the whole map added everywhere, upsampling, a crop."""
    red, green, blue = L.Slice(n.data, ntop=3, axis=1)
    joined = L.Concat(L.Power(blue, shift=0.5), green, L.Power(red, scale=2), axis=1)
    first = block(n, "one", conv(joined, 8, stride=2), 8)
    second = block(n, "two", first, 8)
    n.average = L.Pooling(second, pool=P.Pooling.AVE, global_pooling=True)
    row = L.Flatten(L.Convolution(n.average, num_output=5, kernel_size=1, **FILLERS))
    n.scores = L.Bias(L.Convolution(second, num_output=5, kernel_size=1, **FILLERS), row, axis=0)
    up = {"num_output": 5, "group": 5, "kernel_size": 3, "stride": 2, "pad": 1, "bias_term": False}
    n.large = L.Deconvolution(n.scores, convolution_param={**up, "weight_filler": {"type": "bilinear"}})
    n.cut = L.Crop(n.large, n.scores, axis=2)
    n.normal = L.Softmax(n.cut)
    n.side = L.Softmax(n.one)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_outputs_are_those_of_the_net(size: tuple[int, int], batch: int) -> None:
    net = made(mobile, size, batch)
    expected = outputs(net, net.forward)
    layers = region.region(net)
    assert [net.layers[i].type for i in (layers.start, layers.stop - 1)] == ["Slice", "Crop"]
    assert set(expected) == {"normal", "side"}
    found = outputs(net, Inference(net).forward)
    for name, value in expected.items():
        assert np.abs(found[name] - value).max() <= 1e-5 * np.abs(value).max(), name


def test_maps_stay_channels_last_and_do_not_outlive_their_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(mobile, (40, 56))
    seen: list[bool] = []
    for layer in net.layers:
        if layer.type == "Convolution":

            def watched(
                bottom: list[torch.Tensor], params: list[torch.Tensor], compute=layer.compute
            ) -> list[torch.Tensor]:
                seen.append(bottom[0].is_contiguous(memory_format=torch.channels_last))
                return compute(bottom, params)

            monkeypatch.setattr(layer, "compute", watched)
    Inference(net).forward()
    assert len(seen) == 9
    assert all(seen[1:])  # the first has the image's own channels
    assert net.blobs["two"].data.max() == 0  # it was read within the region alone


def test_bf16_is_close_and_scores_stay_float32() -> None:
    net = made(mobile, (40, 56))
    expected = outputs(net, net.forward)
    for name, value in outputs(net, Inference(net, "bf16").forward).items():
        error = np.abs(value - expected[name]).max() / np.abs(expected[name]).max()
        assert 0 < error < 0.05, name
        assert value.dtype == np.float32
