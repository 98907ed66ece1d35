"""What one layer makes of arrays."""

from __future__ import annotations

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2


def run(layer: str, inputs: dict[str, np.ndarray], params: tuple[np.ndarray, ...] = ()) -> dict[str, np.ndarray]:
    """What one layer makes of its inputs: {top: values}."""
    definition = ""
    for name, value in inputs.items():
        dims = " ".join(f"dim: {length}" for length in value.shape)
        definition += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
    net = caffe.Net(text_format.Parse(definition + layer, caffe_pb2.NetParameter()), caffe.TEST)
    for name, value in inputs.items():
        net.blobs[name].data[...] = value
    for blob, value in zip(net.layers[-1].blobs, params):
        blob.data[...] = value
    return {name: value.copy() for name, value in net.forward().items()}


RANDOM = np.random.default_rng(0)


SCORES = RANDOM.standard_normal((2, 4, 3)).astype(np.float32)


LABELS = RANDOM.integers(0, 4, (2, 3)).astype(np.float32)


MATRIX = RANDOM.random((4, 4)).astype(np.float32)
