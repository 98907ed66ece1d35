"""Layers that provide blobs without reading files: Input, DummyData and Parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.layers import fillers
from caffe.layers.base import Layer, Shape, TorchLayer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


@register_layer("Input")
class Input(Layer):
    """Caffe layer Input: blobs that the user fills.

    No bottoms. Tops: one or more. Option (input_param): shape, none (the user reshapes), one for all tops, or one per top.
    """

    kind = "data"
    exact_bottoms = 0
    min_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shapes = self.layer_param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise layer_error(
                self, f"Must specify 'shape' once, once per top blob, or not at all: {len(shapes)} vs. {len(top)}."
            )
        for i, blob in enumerate(top):
            if len(shapes):
                blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        pass


@register_layer("DummyData")
class DummyData(Layer):
    """Caffe layer DummyData: tops from fillers. Constant ones are filled once, the others anew in each forward.

    No bottoms. Tops: one or more. Options (dummy_data_param): shape (one for all tops or one per top), or the legacy num,
    channels, height and width (likewise); data_filler (none: constant 0; one for all tops, or one per top).
    """

    kind = "data"
    exact_bottoms = 0
    min_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.layer_param.dummy_data_param
        self.fillers = list(param.data_filler) or [caffe_pb2.FillerParameter()]
        shapes = [tuple(shape.dim) for shape in param.shape]
        legacy = [list(axis) for axis in (param.num, param.channels, param.height, param.width)]
        if shapes and any(legacy):
            raise layer_error(self, "shape and num, channels, height, width are both given; use shape.")
        if not shapes:
            if not all(len(axis) in (1, len(top)) for axis in legacy):
                raise layer_error(
                    self, "give shape once or once per top blob (or num, channels, height and width, likewise)."
                )
            shapes = [tuple(axis[i if len(axis) > 1 else 0] for axis in legacy) for i in range(len(top))]
        for what, given in (("data_filler", self.fillers), ("shape", shapes)):
            if len(given) not in (1, len(top)):
                raise layer_error(self, f"{what} must be given once or once per top blob: {len(given)} vs. {len(top)}.")
        for i, blob in enumerate(top):
            blob.reshape(*shapes[i if len(shapes) > 1 else 0])
            fillers.fill(blob, self._filler(i))

    def _filler(self, i: int) -> caffe_pb2.FillerParameter:
        return self.fillers[i if len(self.fillers) > 1 else 0]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for i, blob in enumerate(top):
            if self._filler(i).type != "constant":
                fillers.fill(blob, self._filler(i))


@register_layer("Parameter")
class Parameter(TorchLayer):
    """Caffe layer Parameter: the top is the layer's one parameter.

    No bottoms. Top: of parameter_param.shape. Gradient: the parameter.
    """

    exact_bottoms = 0
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        self.blobs.append(Blob(tuple(self.layer_param.parameter_param.shape.dim)))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        return [self.blobs[0].shape]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [params[0].view_as(params[0])]
