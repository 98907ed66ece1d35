"""Nets with wide borders, with poolings, and cut short."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import caffe
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L

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
