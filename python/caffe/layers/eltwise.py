"""Eltwise: sum, product or maximum of blobs of one shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error, require_same_shapes
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


@register_layer("Eltwise")
class Eltwise(TorchLayer):
    """Caffe layer Eltwise: y = sum of coeff_i x_i, product of the x_i, or their maximum.

    Bottoms: two or more of one shape. Top: that shape. Options (eltwise_param): operation (SUM; PROD, MAX), coeff (1 each; SUM
    only). `stable_prod_grad` is accepted; the gradient of PROD is always the stable one. Gradients: all bottoms; of a maximum
    that several share, the one Caffe chooses: the second bottom against the first, otherwise the earlier one.
    """

    keeps_coordinates = True
    any_layout = True
    repeats = True
    min_bottoms = 2
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.eltwise_param
        self.operation = param.operation
        self.coefficients = [float(c) for c in param.coeff]
        if self.coefficients and self.operation != caffe_pb2.EltwiseParameter.SUM:
            raise layer_error(self, "Eltwise layer only takes coefficients for summation.")
        if self.coefficients and len(self.coefficients) != len(bottom):
            raise layer_error(self, "Eltwise Layer takes one coefficient per bottom blob.")

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        require_same_shapes(self, bottom)
        return [bottom[0]]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        if self.operation == caffe_pb2.EltwiseParameter.SUM:
            return [self._sum(bottom)]
        result = bottom[0]
        for i, x in enumerate(bottom[1:]):
            if self.operation == caffe_pb2.EltwiseParameter.PROD:
                result = result * x
            else:
                # torch.maximum would share the gradient among equals.
                result = torch.where(x >= result if i == 0 else x > result, x, result)
        return [result]

    def _sum(self, bottom: Sequence[torch.Tensor]) -> torch.Tensor:
        coefficients = self.coefficients or [1.0] * len(bottom)
        result = bottom[0] if coefficients[0] == 1 else bottom[0] * coefficients[0]
        for x, coefficient in zip(bottom[1:], coefficients[1:]):
            result = torch.add(result, x, alpha=coefficient)
        return result
