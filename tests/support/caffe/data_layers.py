"""Nets of data layers."""

from __future__ import annotations

from google.protobuf import text_format

import caffe.layers  # noqa: F401  # registers the built-in types
from caffe import mode
from caffe.net.net import Net
from caffe.proto import caffe_pb2

EXTRAS = ("golden", "extras")


def build(prototxt: str, phase: int = mode.TEST) -> Net:
    return Net(text_format.Parse(prototxt, caffe_pb2.NetParameter()), phase)
