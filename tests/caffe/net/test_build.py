"""Building a net: names, Split layers, order, and what is wrong with a definition."""

from __future__ import annotations

import pytest
from support.caffe.nets import CONV

import caffe
from caffe.errors import CaffeError

pytestmark = pytest.mark.usefixtures("compute")


def test_names_splits_and_order(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    assert net._layer_names == ["data", "conv", "relu", "conv_relu_0_split", "a", "sum"]
    assert list(net.blobs) == ["data", "conv", *(f"conv_relu_0_split_{k}" for k in range(3)), "a", "sum"]
    assert net.inputs == ["data"]
    assert net.outputs == ["a", "sum"]
    assert list(net.params) == ["conv", "a"]
    assert [p.data.shape for p in net.params["conv"]] == [(4, 3, 3, 3), (4,)]
    assert net.top_names["conv_relu_0_split"] == [f"conv_relu_0_split_{k}" for k in range(3)]
    assert net.bottom_names["sum"] == ["conv_relu_0_split_1", "conv_relu_0_split_2"]
    assert [layer.type for layer in net.layers][:3] == ["Input", "Convolution", "ReLU"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'bottom: "conv" top: "a"',
            'bottom: "cnv" top: "a"',
            "Unknown bottom blob 'cnv' \\(layer 'a', bottom index 0\\)",
        ),
        ('type: "ReLU"', 'type: "Rectifier"', "Unknown layer type: Rectifier \\(layer 'relu'\\).*register_layer"),
        ('type: "ReLU"', 'type: "Relu"', "Did you mean ReLU"),
        ('bottom: "conv" top: "a"', 'bottom: "conv" top: "data"', "Top blob 'data' produced by multiple sources"),
    ],
)
def test_wrong_definitions_are_explained(write, old: str, new: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        caffe.Net(write(CONV.replace(old, new, 1)), caffe.TEST)


def test_duplicate_names_of_layers_without_parameters_work(write) -> None:
    text = CONV + 'layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }'
    assert caffe.Net(write(text), caffe.TEST)._layer_names.count("relu") == 2
