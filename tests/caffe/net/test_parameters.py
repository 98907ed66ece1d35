"""Parameters that layers share: one memory, one update."""

from __future__ import annotations

import pytest

import caffe
from caffe.errors import CaffeError

pytestmark = pytest.mark.usefixtures("compute")


def test_shared_parameters_are_one(write) -> None:
    text = """
      layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
      layer { name: "one" type: "Convolution" bottom: "d" top: "one" param { name: "w" lr_mult: 3 } convolution_param {
        num_output: 2 kernel_size: 1 bias_term: false weight_filler { type: "gaussian" std: 1 } } }
      layer { name: "two" type: "Convolution" bottom: "one" top: "two" param { name: "w" } convolution_param {
        num_output: 2 kernel_size: 1 bias_term: false } }
    """
    net = caffe.Net(write(text), caffe.TEST)
    assert len(net.learnable) == 1
    assert net.lr_mult == [3]
    net.params["two"][0].data[...] = 7
    assert (net.params["one"][0].data == 7).all()
    wrong = text.replace(
        "num_output: 2 kernel_size: 1 bias_term: false }", "num_output: 3 kernel_size: 1 bias_term: false }"
    )
    with pytest.raises(
        CaffeError, match="Cannot share param 'w' owned by layer 'one' with layer 'two'; shape mismatch"
    ):
        caffe.Net(write(wrong), caffe.TEST)
