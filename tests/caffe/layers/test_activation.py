"""Functions of each element: what Dropout keeps, when ReLU overwrites."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from support.caffe.layers import one_layer

import caffe
from caffe.layers.registry import layer_class
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")


def test_dropout_scales_what_it_keeps_and_passes_gradients_through_the_same_mask() -> None:
    caffe.set_random_seed(1)
    net = one_layer((200, 100), 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }', caffe.TRAIN)
    net.blobs["x"].data[...] = 2
    net.forward()
    mask = net.blobs["y"].data.copy()
    np.testing.assert_allclose(np.unique(mask), [0, 2 / 0.7], rtol=1e-6)
    assert abs((mask == 0).mean() - 0.3) < 0.02
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, mask / 2, rtol=1e-6)
    net.forward()
    assert (net.blobs["y"].data != mask).any()
    caffe.set_random_seed(1)
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data, mask)


def test_a_dropout_top_of_its_own_does_not_share_memory() -> None:
    net = one_layer((2, 3), 'type: "Dropout"')
    net.forward()
    net.blobs["y"].data[...] = 5
    assert (net.blobs["x"].data == 0).all()


def test_relu_may_overwrite_only_when_told_and_nothing_is_recorded() -> None:
    param = text_format.Parse('name: "r" type: "ReLU" bottom: "x" top: "x"', caffe_pb2.LayerParameter())
    layer = layer_class("ReLU", "r")(param, caffe.TEST)
    layer.build([(3,)])
    x = torch.tensor([-1.0, 0.0, 2.0])
    (kept,) = layer.compute([x], [])
    assert kept.data_ptr() != x.data_ptr()
    layer.may_overwrite = True
    (recorded,) = layer.compute([x.clone().requires_grad_()], [])
    assert recorded.requires_grad
    (overwritten,) = layer.compute([x], [])
    assert overwritten.data_ptr() == x.data_ptr()
    assert x.tolist() == [0, 0, 2]


def test_exp_of_a_huge_shift_is_infinite_as_in_c() -> None:
    net = one_layer((1, 1), 'type: "Exp" exp_param { base: 2 shift: 3e38 }')
    assert net.forward(x=np.zeros((1, 1)))["y"] == np.inf
