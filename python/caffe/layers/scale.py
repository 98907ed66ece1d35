"""Scale and Bias: factors and offsets broadcast over some axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.layers import fillers
from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer


class _Broadcast(TorchLayer):
    """A layer that combines bottom 0 with an operand whose shape is that of some of its axes, from `axis` on."""

    keeps_coordinates = True
    any_layout = True
    repeats = True
    kind = "normalization"
    min_bottoms = 1
    max_bottoms = 2
    exact_tops = 1

    def _place(self, bottom: Sequence[Shape], axis: int, num_axes: int) -> Shape:
        """Remember where the operand belongs and return its shape."""
        shape = bottom[0]
        if len(bottom) > 1:
            self.axis = canonical_axis(axis, len(shape), f"layer '{self.name}'") if bottom[1] else 0
            self._check(bottom)
            return bottom[1]
        self.axis = canonical_axis(axis, len(shape), f"layer '{self.name}'") if num_axes else 0
        if num_axes < -1 or (num_axes >= 0 and len(shape) < self.axis + num_axes):
            raise layer_error(
                self,
                f"blob's shape extends past bottom[0]'s shape when applied starting with bottom[0] axis = {self.axis}.",
            )
        return shape[self.axis :] if num_axes == -1 else shape[self.axis : self.axis + num_axes]

    def _check(self, bottom: Sequence[Shape]) -> None:
        operand = bottom[1] if len(bottom) > 1 else self.blobs[0].shape
        if bottom[0][self.axis : self.axis + len(operand)] != operand:
            raise layer_error(
                self,
                f"dimension mismatch: bottom[0] is {shape_string(bottom[0])}, the operand from axis {self.axis} on "
                f"{shape_string(operand)}.",
            )

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        self._check(bottom)
        return [bottom[0]]

    def _aligned(self, operand: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return operand.reshape(*operand.shape, *(1,) * (x.dim() - self.axis - operand.dim()))


@register_layer("Scale")
class Scale(_Broadcast):
    """Caffe layer Scale: y = x s (+ b), s and b broadcast over the axes that they do not have.

    Bottoms: x; s, unless it is a parameter. Top: x's shape. Parameters: s (the lengths of axes `axis` to `axis + num_axes`), only
    with one bottom; b of the same shape, only with bias_term. Options (scale_param): axis (1), num_axes (1; -1 to the end, 0 a
    scalar), filler (constant 1), bias_term (false), bias_filler (constant 0). Gradients: both bottoms, s, b.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.scale_param
        shape = self._place(bottom, param.axis, param.num_axes)
        if len(bottom) == 1:
            factor = Blob(shape)
            if param.HasField("filler"):
                fillers.fill(factor, param.filler)
            else:
                factor.tensor = torch.ones(shape)
            self.blobs.append(factor)
        if param.bias_term:
            bias = Blob(shape)
            fillers.fill(bias, param.bias_filler)
            self.blobs.append(bias)

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        operands = [*bottom[1:], *params]
        y = bottom[0] * self._aligned(operands[0], bottom[0])
        return [y + self._aligned(operands[1], y) if len(operands) > 1 else y]


@register_layer("Bias")
class Bias(_Broadcast):
    """Caffe layer Bias: y = x + b, b broadcast over the axes that it does not have.

    Bottoms: x; b, unless it is a parameter. Top: x's shape. Parameter: b, only with one bottom. Options (bias_param): axis (1),
    num_axes (1; -1 to the end, 0 a scalar), filler (constant 0). Gradients: both bottoms, b.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.bias_param
        shape = self._place(bottom, param.axis, param.num_axes)
        if len(bottom) == 1:
            bias = Blob(shape)
            fillers.fill(bias, param.filler)
            self.blobs.append(bias)

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [bottom[0] + self._aligned([*bottom[1:], *params][0], bottom[0])]
