"""Functions of each element, one bottom and one top of its shape: ReLU, Sigmoid, Dropout, Power, Threshold and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe import mode
from caffe.blob import Blob
from caffe.layers import fillers
from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer


class NeuronLayer(TorchLayer):
    """A function of each element: override `activate`, and nothing else unless there are parameters (or chance: `repeats`)."""

    keeps_coordinates = True
    pointwise = True
    any_layout = True
    repeats = True
    exact_bottoms = 1
    exact_tops = 1

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [self.activate(bottom[0])]

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    @property
    def in_place(self) -> bool:
        """Whether top and bottom are one blob."""
        return bool(self.layer_param.top) and self.layer_param.top[0] == self.layer_param.bottom[0]

    def overwrites(self, x: torch.Tensor) -> bool:
        """Whether `x` may be overwritten now."""
        return self.may_overwrite and not x.requires_grad


@register_layer("ReLU")
class ReLU(NeuronLayer):
    """Caffe layer ReLU: y = max(x, 0) + negative_slope min(x, 0).

    Option (relu_param): negative_slope (0). Gradient to x: 1 for x > 0, else negative_slope (also at 0).
    """

    @property
    def selects_values(self) -> bool:
        return not self.negative_slope

    def build(self, bottom: Sequence[Shape]) -> None:
        self.negative_slope = self.layer_param.relu_param.negative_slope

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        inplace = self.overwrites(x)
        return F.leaky_relu(x, self.negative_slope, inplace) if self.negative_slope else F.relu(x, inplace)


@register_layer("PReLU")
class PReLU(NeuronLayer):
    """Caffe layer PReLU: y = max(x, 0) + a_c min(x, 0) for channel c (axis 1).

    Parameter: the slopes a (C), or one slope without axes if channel_shared. Options (prelu_param): filler (constant 0.25),
    channel_shared (false). Gradients: x, a.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.prelu_param
        if len(bottom[0]) < 2:
            raise layer_error(self, "Number of axes of bottom blob must be >=2.")
        slope = Blob(() if param.channel_shared else (bottom[0][1],))
        if param.HasField("filler"):
            fillers.fill(slope, param.filler)
        else:
            slope.tensor = torch.full(slope.shape, 0.25)
        self.blobs.append(slope)

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [F.prelu(bottom[0], params[0].reshape(-1))]


@register_layer("ELU")
class ELU(NeuronLayer):
    """Caffe layer ELU: y = x for x > 0, alpha (exp(x) - 1) otherwise. Option (elu_param): alpha (1). Gradient: x."""

    def build(self, bottom: Sequence[Shape]) -> None:
        self.alpha = self.layer_param.elu_param.alpha

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return F.elu(x, self.alpha)


@register_layer("Swish")
class Swish(NeuronLayer):
    """Caffe layer Swish: y = x sigmoid(beta x). Option (swish_param): beta (1). Gradient: x."""

    def build(self, bottom: Sequence[Shape]) -> None:
        self.beta = self.layer_param.swish_param.beta

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.beta * x)


@register_layer("Sigmoid")
class Sigmoid(NeuronLayer):
    """Caffe layer Sigmoid: y = 1 / (1 + exp(-x)). Gradient: x."""

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)


@register_layer("TanH")
class TanH(NeuronLayer):
    """Caffe layer TanH: y = tanh(x). Gradient: x."""

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


@register_layer("BNLL")
class BNLL(NeuronLayer):
    """Caffe layer BNLL (binomial normal log likelihood): y = log(1 + exp(x)). Gradient: x."""

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logaddexp(x, torch.zeros_like(x))


@register_layer("Clip")
class Clip(NeuronLayer):
    """Caffe layer Clip: y = min(max(x, min), max). Options (clip_param): min, max. Gradient: x, where min <= x <= max."""

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.clip_param
        self.low, self.high = param.min, param.max

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp_(self.low, self.high) if self.overwrites(x) else x.clamp(self.low, self.high)


@register_layer("Dropout")
class Dropout(NeuronLayer):
    """Caffe layer Dropout: in phase TRAIN y = x m / (1 - ratio) with m = 0 with probability ratio, else 1; in phase TEST y = x.

    Option (dropout_param): dropout_ratio (0.5), in [0, 1). Gradient: x, through the same mask.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        self.repeats = self.phase == mode.TEST
        if not 0 <= self.ratio < 1:
            raise layer_error(self, f"dropout_ratio must be in [0, 1), got {self.ratio:g}.")

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        if self.phase == mode.TEST:
            # A top of its own must not share memory with the bottom: users write to either.
            return x.view_as(x) if self.in_place else x.clone()
        mask = torch.empty_like(x).bernoulli_(1 - self.ratio, generator=mode.generator(x.device))
        return x * mask.mul_(1 / (1 - self.ratio))


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
        # torch's exp has inf where Python's has an exception.
        self.inner = param.scale * log_base
        self.outer = float(torch.tensor(param.shift * log_base, dtype=torch.float64).exp())

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
