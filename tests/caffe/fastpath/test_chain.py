"""Chains of layers: any size and image, and nets that have none worth it."""

from __future__ import annotations

import numpy as np
from support.caffe.chains import SIZES, conv, fcn, made, outputs

from caffe.fastpath.inference import Inference
from caffe.net_spec import NetSpec


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


def test_nets_without_a_border_run_as_they_are() -> None:
    def same(n: NetSpec) -> None:
        n.conv1 = conv(n.data, 5)
        n.conv2 = conv(n.conv1, 5)

    net = made(same)
    expected = outputs(net, net.forward)
    for name, value in outputs(net, Inference(net).forward).items():
        np.testing.assert_array_equal(value, expected[name])
