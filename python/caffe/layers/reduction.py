"""Reduction: sums and means over trailing axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


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
