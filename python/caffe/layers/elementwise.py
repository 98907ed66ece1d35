"""Functions of each element: AbsVal, Exp, Log, Power and Threshold. One bottom, one top of the same shape, in place or not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Shape
from caffe.layers.checks import layer_error
from caffe.layers.neuron import NeuronLayer
from caffe.layers.registry import register_layer


@register_layer("AbsVal")
class AbsVal(NeuronLayer):
    """Caffe layer AbsVal: y = |x|. Gradient: x, 0 at 0."""

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()


@register_layer("Exp")
class Exp(NeuronLayer):
    """Caffe layer Exp: y = base ^ (shift + scale x).

    Options (exp_param): base (-1, meaning e), scale (1), shift (0). Gradient: x.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.exp_param
        if param.base != -1 and param.base <= 0:
            raise layer_error(self, "base must be strictly positive.")
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        self.inner, self.outer = param.scale * log_base, math.exp(param.shift * log_base)

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x * self.inner) * self.outer


@register_layer("Log")
class Log(NeuronLayer):
    """Caffe layer Log: y = log_base(shift + scale x).

    Options (log_param): base (-1, meaning e), scale (1), shift (0). Gradient: x.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.log_param
        if param.base != -1 and (param.base <= 0 or param.base == 1):
            raise layer_error(self, "base must be strictly positive and not 1.")
        self.factor = 1.0 if param.base == -1 else 1 / math.log(param.base)
        self.scale, self.shift = param.scale, param.shift

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x * self.scale + self.shift) * self.factor


@register_layer("Power")
class Power(NeuronLayer):
    """Caffe layer Power: y = (shift + scale x) ^ power. Options (power_param): power (1), scale (1), shift (0). Gradient: x."""

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.power_param
        self.power, self.scale, self.shift = param.power, param.scale, param.shift

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.scale + self.shift
        return y if self.power == 1 else torch.pow(y, self.power)


@register_layer("Threshold")
class Threshold(NeuronLayer):
    """Caffe layer Threshold: y = 1 where x > threshold, else 0. Option (threshold_param): threshold (0). No gradient."""

    def build(self, bottom: Sequence[Shape]) -> None:
        self.threshold = self.layer_param.threshold_param.threshold

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return (x > self.threshold).to(x.dtype)
