"""Nets of one layer with any bottoms, for tests of what layers refuse."""

from __future__ import annotations

from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2


def net_with(shapes: list[tuple[int, ...]], layer: str, tops: str = 'top: "y"', phase: int = caffe.TEST) -> caffe.Net:
    dims = [" ".join(f"dim: {n}" for n in shape) for shape in shapes]
    inputs = "".join(
        f'layer {{ name: "in{i}" type: "Input" top: "in{i}" input_param {{ shape {{ {dim} }} }} }} '
        for i, dim in enumerate(dims)
    )
    bottoms = " ".join(f'bottom: "in{i}"' for i in range(len(shapes)))
    text = f'{inputs} layer {{ name: "wrong" {bottoms} {tops} {layer} }}'
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


IMAGE = (1, 4, 6, 6)
