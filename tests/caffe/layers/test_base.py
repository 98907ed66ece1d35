"""What a layer says of itself: a type that nobody has listed is aligned, run in the fast path and drawn by its own attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe import draw
from caffe.coord_map import crop_offsets
from caffe.fastpath import chain
from caffe.fastpath.inference import Inference
from caffe.layers import registry
from caffe.layers.base import TorchLayer
from caffe.proto import caffe_pb2

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 11 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 20 weight_filler { type: "xavier" } } }
layer { name: "soft" type: "Softsign" bottom: "conv1" top: "soft" }
layer { name: "conv2" type: "Convolution" bottom: "soft" top: "conv2"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "cut" type: "Crop" bottom: "conv2" bottom: "data" top: "cut" }
"""


@pytest.fixture
def softsign() -> Iterator[type[TorchLayer]]:
    """A layer y = x / (1 + |x|), registered while the test runs."""

    @caffe.register_layer("Softsign")
    class Softsign(TorchLayer):
        exact_bottoms = exact_tops = 1
        keeps_coordinates = pointwise = True
        kind = "normalization"

        def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
            return [bottom[0] / (1 + bottom[0].abs())]

    yield Softsign
    del registry._classes["Softsign"]


def definition() -> caffe_pb2.NetParameter:
    return text_format.Parse(NET, caffe_pb2.NetParameter())


def test_a_crop_is_aligned_through_it(softsign: type[TorchLayer]) -> None:
    # 20 cells of padding, less one for each half of a window.
    assert crop_offsets(definition(), 4) == (2, (18,))
    softsign.keeps_coordinates = False
    with pytest.raises(caffe.CaffeError, match="no blob is connected to both"):
        crop_offsets(definition(), 4)


def test_it_runs_in_the_fast_path(softsign: type[TorchLayer]) -> None:
    net_definition = definition()
    net_definition.layer[4].crop_param.axis = 2
    net_definition.layer[4].crop_param.offset.append(18)
    net = caffe.Net(net_definition, caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(1, 3, 9, 11))
    steps = chain.chain(net)
    assert "soft" in [step.layer.name for step in steps]
    expected = net.forward()["cut"].copy()
    seen = []
    compute = softsign.compute
    softsign.compute = lambda self, bottom, params: seen.append(bottom[0].shape) or compute(self, bottom, params)
    np.testing.assert_allclose(Inference(net).forward()["cut"], expected, rtol=1e-5, atol=1e-6)
    # Its maps are short: of a border of 20 zeros on every side most rows and columns are left out.
    assert [shape[2] < 9 + 20 and shape[3] < 11 + 20 for shape in seen] == [True]


def test_it_has_its_colour(softsign: type[TorchLayer]) -> None:
    assert draw.net_to_dot(definition()).count(f'fillcolor="{draw.COLOURS["normalization"]}"') == 1
    softsign.kind = "unheard of"
    assert f'fillcolor="{draw.COLOURS["normalization"]}"' not in draw.net_to_dot(definition())


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda x: x * 2, "returned one tensor, not a list of 1"),
        (lambda x: [], "returned 0 tensors, not a list of 1"),
        (
            lambda x: [x[:, :1]],
            r"returned torch.float32 of shape \(2, 1\), where top_shapes promised .* of shape \(2, 3\)",
        ),
        (lambda x: [x.double()], r"returned torch.float64 of shape \(2, 3\), where"),
    ],
)
def test_what_compute_returns_is_what_was_promised(compute: Callable[[torch.Tensor], Any], words: str) -> None:
    class Promised(TorchLayer):
        def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Any:
            return compute(bottom[0])

    layer = Promised(caffe_pb2.LayerParameter(name="l", type="Promised", top=["y"]), caffe.TEST)
    bottom, top = caffe.Blob([2, 3]), caffe.Blob()
    layer.reshape([bottom], [top])
    with pytest.raises(caffe.CaffeError, match=r"^layer 'l' \(.*\): compute " + words):
        layer.forward([bottom], [top])
