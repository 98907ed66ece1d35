"""Layers that select, gather or sum up: BatchReindex, Filter, Reduction and Im2col."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error, output_size, shape_string
from caffe.layers.registry import register_layer
from caffe.layers.window import Windows
from caffe.proto import caffe_pb2


@register_layer("BatchReindex")
class BatchReindex(TorchLayer):
    """Caffe layer BatchReindex: y[i] = x[index[i]].

    Bottoms: x (N, ...); indices 0 .. N - 1 (M). Top: (M, ...). Gradient: x.
    """

    exact_bottoms = 2
    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if len(bottom[1]) != 1:
            raise layer_error(self, f"the indices must have one axis; their shape is {shape_string(bottom[1])}.")
        return [(bottom[1][0], *bottom[0][1:])]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        index = bottom[1].detach().long()
        if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < bottom[0].shape[0]):
            raise layer_error(
                self, f"indices {int(index.min())}..{int(index.max())} are not within 0..{bottom[0].shape[0] - 1}."
            )
        return [bottom[0].index_select(0, index)]


@register_layer("Filter")
class Filter(TorchLayer):
    """Caffe layer Filter: of each bottom but the last, the items whose selector is not 0.

    Bottoms: one or more (N, ...); the selector (N). Tops: one fewer, (selected items, ...); their shapes follow the selector's
    values at each forward. Gradients: all bottoms but the selector, 0 for items left out.
    """

    min_bottoms = 2
    min_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != len(self.layer_param.bottom) - 1

    def build(self, bottom: Sequence[Shape]) -> None:
        if len(self.layer_param.top) != len(bottom) - 1:
            raise layer_error(
                self, f"Top.size() must be equal to bottom.size() - 1: {len(self.layer_param.top)} and {len(bottom)}."
            )

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        *items, selector = bottom
        if any(n != 1 for n in selector[1:]):
            raise layer_error(self, f"Selector blob dimensions must be singletons (1), except the first: {selector}.")
        for i, shape in enumerate(items):
            if shape[:1] != selector[:1]:
                raise layer_error(
                    self,
                    f"Each bottom should have the same 0th dimension as the selector blob: bottom {i} is {shape}, {selector}.",
                )
        return items

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        chosen = bottom[-1].detach().reshape(-1).nonzero().flatten()
        return [x.index_select(0, chosen) for x in bottom[:-1]]


@register_layer("Reduction")
class Reduction(TorchLayer):
    """Caffe layer Reduction: y = coeff times the sum of x, |x| or x^2, or the mean of x, over all axes from `axis` on.

    Bottom: any shape. Top: its shape in front of `axis`. Options (reduction_param): operation (SUM; ASUM, SUMSQ, MEAN), axis (0),
    coeff (1). Gradient: the bottom.
    """

    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.reduction_param
        self.operation, self.coefficient = param.operation, param.coeff
        self.axis = canonical_axis(param.axis, max(1, len(bottom[0])), f"layer '{self.name}'")

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        return [bottom[0][: self.axis]]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        rows = x.reshape(*x.shape[: self.axis], math.prod(x.shape[self.axis :]))
        names = caffe_pb2.ReductionParameter
        if self.operation == names.ASUM:
            rows = rows.abs()
        elif self.operation == names.SUMSQ:
            rows = rows.square()
        reduced = rows.mean(-1) if self.operation == names.MEAN else rows.sum(-1)
        return [reduced * self.coefficient]


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
