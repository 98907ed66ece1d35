"""A node's steps: what a layer raises is told with the layer's name, but for a user's own Python layers."""

from __future__ import annotations

import pytest

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.base import Layer
from caffe.net.node import Node
from caffe.proto import caffe_pb2


class Failing(Layer):
    def __init__(self, layer_type: str, error: Exception) -> None:
        super().__init__(caffe_pb2.LayerParameter(name="failing", type=layer_type), phase=1)
        self.type = layer_type  # type: ignore[misc]
        self._error = error

    def reshape(self, bottom: object, top: object) -> None:
        raise self._error


def node(layer: Layer) -> Node:
    return Node("failing", layer, ["x"], ["y"], [Blob((1,))], [Blob((1,))])


def test_errors_name_layer_type_and_step_once() -> None:
    with pytest.raises(CaffeError, match=r"^layer 'failing' \(Made\), reshape: too small$"):
        node(Failing("Made", ValueError("too small"))).forward()
    with pytest.raises(CaffeError, match=r"^layer 'failing' \(Made\), reshape: too large$"):
        node(Failing("Made", OverflowError("too large"))).reshape()
    with pytest.raises(CaffeError, match=r"^layer 'failing' \(Made\): no such file$"):
        node(Failing("Made", CaffeError("no such file"))).reshape()
    with pytest.raises(CaffeError, match=r"^failing knows itself$"):
        node(Failing("Made", CaffeError("failing knows itself"))).reshape()


def test_a_python_layer_raises_what_it_raises() -> None:
    with pytest.raises(ValueError, match=r"^too small$"):
        node(Failing("Python", ValueError("too small"))).reshape()
