"""LRN, local response normalisation, and MVN, mean-variance normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


@register_layer("LRN")
class LRN(TorchLayer):
    """Caffe layer LRN: y = x / (k + alpha mean(x^2 of the neighbours)) ^ beta.

    Bottom: (N, C, H, W). Top: the same. Options (lrn_param): norm_region (ACROSS_CHANNELS: local_size channels around;
    WITHIN_CHANNEL: local_size x local_size pixels around, with k = 1), local_size (5, odd), alpha (1), beta (0.75), k (1).
    Neighbours beyond the edges count as 0. Gradient: the bottom.
    """

    keeps_coordinates = True
    repeats = True
    kind = "normalization"
    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.lrn_param
        self.size, self.alpha, self.beta, self.k = param.local_size, param.alpha, param.beta, param.k
        self.within = param.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL
        if self.size % 2 != 1:
            raise layer_error(self, "LRN only supports odd values for local_size")
        if len(bottom[0]) != 4:
            raise layer_error(self, "Input must have 4 axes, corresponding to (num, channels, height, width)")

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        if not self.within:
            return [F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)]
        mean = F.avg_pool2d(x * x, self.size, 1, self.size // 2)
        return [x * (1 + self.alpha * mean).pow(-self.beta)]


@register_layer("MVN")
class MVN(TorchLayer):
    """Caffe layer MVN: y = (x - mean) / (standard deviation + eps), for each channel of each image by itself.

    Bottom: (N, C, ...). Top: the same. Options (mvn_param): normalize_variance (true; otherwise only the mean is removed),
    across_channels (false; otherwise for each image), eps (1e-9). Gradient: the bottom, with Caffe's approximation that
    takes the deviation for standard deviation + eps.
    """

    keeps_coordinates = True
    repeats = True
    kind = "normalization"
    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.mvn_param
        self.axes = 1 if param.across_channels else 2
        self.variance, self.eps = param.normalize_variance, param.eps

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        rows = x.reshape(math.prod(x.shape[: self.axes]), -1)
        y = _Standardized.apply(rows, self.eps) if self.variance else rows - rows.mean(1, keepdim=True)
        return [y.reshape(x.shape)]


class _Standardized(torch.autograd.Function):
    """Rows minus their mean over their deviation + eps, with the gradient that Caffe computes."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, eps: float) -> torch.Tensor:
        centred = rows - rows.mean(1, keepdim=True)
        deviation = centred.square().mean(1, keepdim=True).sqrt() + eps
        y = centred / deviation
        ctx.save_for_backward(y, deviation)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        y, deviation = ctx.saved_tensors
        grad = grads[0]
        projected = grad - grad.mean(1, keepdim=True) - y * (grad * y).mean(1, keepdim=True)
        return projected / deviation, None
