"""BatchNorm: zero mean and unit variance per channel, by the batch's statistics or by running ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe import mode
from caffe.blob import Blob
from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer


@register_layer("BatchNorm")
class BatchNorm(TorchLayer):
    """Caffe layer BatchNorm: y = (x - mean) / sqrt(variance + eps) per channel (axis 1).

    Bottom: (N, C, ...). Top: the same. Parameters, none of them learnt: sum of means (C), sum of variances (C), and the scale
    factor (1) that both are divided by (0 counts as means and variances 0). With use_global_stats (default: in phase TEST) they
    give mean and variance; otherwise the batch does, and each forward multiplies all three by moving_average_fraction (0.999)
    and adds the batch's mean, unbiased variance, and 1. Options (batch_norm_param): those two and eps (1e-5). Gradient: x,
    through the batch's statistics where those are used.
    """

    keeps_coordinates = True
    kind = "normalization"
    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.batch_norm_param
        self.use_global = param.use_global_stats if param.HasField("use_global_stats") else self.phase == mode.TEST
        self.fraction, self.eps = param.moving_average_fraction, param.eps
        self.channels = bottom[0][1] if len(bottom[0]) > 1 else 1
        self.blobs.extend([Blob((self.channels,)), Blob((self.channels,)), Blob((1,))])
        self._freeze_statistics()

    def _freeze_statistics(self) -> None:
        # Solvers must not touch running sums, so their learning rates are fixed here, as the prototxt would.
        specs = self.layer_param.param
        while len(specs) < 3:
            specs.add().lr_mult = 0.0
        for spec in specs:
            if spec.lr_mult != 0:
                raise layer_error(
                    self, "Cannot configure batch normalization statistics as layer parameters (lr_mult must be 0)."
                )

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottom[0]
        channels = shape[1] if len(shape) > 1 else 1
        if channels != self.channels:
            raise layer_error(self, f"the bottom has {channels} channels, the statistics are for {self.channels}.")
        return [shape]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        folded = x.reshape(x.shape[0], self.channels, -1)
        if self.use_global:
            sums, squares, count = (p.detach() for p in params)
            factor = torch.where(count == 0, torch.zeros_like(count), 1 / count)
            mean, variance = (sums * factor).view(1, -1, 1), (squares * factor).view(1, -1, 1)
        else:
            mean = folded.mean((0, 2), keepdim=True)
            variance = (folded - mean).square().mean((0, 2), keepdim=True)
            self._batch = mean.detach().flatten(), variance.detach().flatten()
        return [((folded - mean) * torch.rsqrt(variance + self.eps)).reshape(x.shape)]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        samples = math.prod(bottom[0].shape) // max(1, self.channels)
        super().forward(bottom, top)
        if not self.use_global:
            self._accumulate(samples)

    def _accumulate(self, samples: int) -> None:
        mean, variance = self._batch
        unbiased = variance * (samples / (samples - 1)) if samples > 1 else variance
        for blob, value in zip(self.blobs, (mean, unbiased, torch.ones_like(mean[:1]))):
            blob.tensor = blob.tensor * self.fraction + value
