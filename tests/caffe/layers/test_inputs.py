"""Input and DummyData: drawn anew unless constant; nets follow their inputs."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layers import build, random

pytestmark = pytest.mark.usefixtures("compute")


def test_dummydata_draws_anew_unless_constant() -> None:
    net = build(
        """layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {
             shape { dim: 50 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }"""
    )
    net.forward()
    first = net.blobs["a"].data.copy()
    net.forward()
    assert (net.blobs["a"].data != first).all()
    assert (net.blobs["b"].data == 2).all()


RESIZABLE = """force_backward: true
  layer { name: "x" type: "Input" top: "x" input_param { shape { dim: %d dim: 3 dim: %d dim: %d } } }
  layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: 3
    weight_filler { type: "msra" } } }
  layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
  layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
  layer { name: "u" type: "Deconvolution" bottom: "p" top: "u" convolution_param { num_output: 2 kernel_size: 4
    stride: 2 group: 2 bias_term: false weight_filler { type: "bilinear" } } }
  layer { name: "k" type: "Crop" bottom: "u" bottom: "x" top: "y" crop_param { offset: 0 } }"""


def test_nets_follow_their_inputs_size() -> None:
    net = build(RESIZABLE % (1, 8, 8))
    for batch, height, width in ((2, 5, 7), (1, 12, 9), (1, 8, 8)):
        fresh = build(RESIZABLE % (batch, height, width))
        fresh.share_with(net)
        x, gradient = random(batch, 3, height, width), random(batch, 2, height, width, seed=1)
        net.blobs["x"].reshape(batch, 3, height, width)
        for each in (net, fresh):
            each.blobs["x"].data[...] = x
            each.forward()
            each.blobs["y"].diff[...] = gradient
            each.backward()
        assert net.blobs["y"].data.any()
        np.testing.assert_array_equal(net.blobs["y"].data, fresh.blobs["y"].data)
        np.testing.assert_array_equal(net.blobs["x"].diff, fresh.blobs["x"].diff)
