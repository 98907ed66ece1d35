"""SoftmaxWithLoss: the probabilities as its second top."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layers import build, random

pytestmark = pytest.mark.usefixtures("compute")


def test_softmaxloss_gives_probabilities_as_second_top() -> None:
    net = build(
        """layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
           layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" top: "p" }"""
    )
    x = random(2, 3)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = x, [2, 0]
    net.forward()
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(net.blobs["p"].data, p, rtol=1e-5)
    np.testing.assert_allclose(net.blobs["loss"].data, -np.log(p[[0, 1], [2, 0]]).mean(), rtol=1e-5)
