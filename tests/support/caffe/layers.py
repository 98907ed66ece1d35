"""Nets of one layer, and arrays for them."""

from __future__ import annotations

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2


def build(prototxt: str, phase: int = caffe.TEST) -> caffe.Net:
    return caffe.Net(text_format.Parse(prototxt, caffe_pb2.NetParameter()), phase)


def one_layer(shape: tuple[int, ...], layer: str, phase: int = caffe.TEST) -> caffe.Net:
    dims = " ".join(f"dim: {n}" for n in shape)
    return build(
        f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }} '
        f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}',
        phase,
    )


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
