"""Im2col: the windows of a convolution, laid out as channels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import output_size
from caffe.layers.registry import register_layer
from caffe.layers.window import Windows
from caffe.proto import caffe_pb2


@register_layer("Im2col")
class Im2col(TorchLayer):
    """Caffe layer Im2col: the windows of a convolution, laid out as channels.

    Bottom: (N, C, spatial...). Top: (N, C times the cells of the kernel, windows...); channel-major, then the kernel's cells in
    scan order. Options (convolution_param): kernel_size, stride, pad, dilation and axis as for Convolution. Gradient: the bottom.
    """

    exact_bottoms = 1
    exact_tops = 1
    kind = "convolution"

    @classmethod
    def windows_of(cls, layer_param: caffe_pb2.LayerParameter) -> Windows | None:
        return Windows.of_convolution(layer_param)

    def build(self, bottom: Sequence[Shape]) -> None:
        self.axis = canonical_axis(self.layer_param.convolution_param.axis, len(bottom[0]), f"layer '{self.name}'")
        self.windows = Windows.of_convolution(self.layer_param, len(bottom[0]) - self.axis - 1)

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        shape, a = bottom[0], self.axis
        return [
            (*shape[:a], shape[a] * math.prod(self.windows.kernel), *output_size(self, self.windows, shape[a + 1 :]))
        ]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x, w = bottom[0], self.windows
        output = output_size(self, w, x.shape[self.axis + 1 :])
        padded = F.pad(x, [p for pad in reversed(w.pad) for p in (pad, pad)])
        cells = []
        for cell in itertools.product(*(range(k) for k in w.kernel)):
            starts = [i * d for i, d in zip(cell, w.dilation)]
            place = tuple(slice(b, b + s * (n - 1) + 1, s) for b, s, n in zip(starts, w.stride, output))
            cells.append(padded[(slice(None),) * (self.axis + 1) + place])
        return [torch.stack(cells, self.axis + 1).flatten(self.axis, self.axis + 1)]
