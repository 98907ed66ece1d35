"""Caffe's messages, and the files that hold them: prototxt, caffemodel, solver state, their older forms."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Programs for pycaffe write `import caffe` and then caffe.proto.caffe_pb2.
    if name == "caffe_pb2":
        from importlib import import_module

        return import_module("caffe.proto.caffe_pb2")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
