"""Softmax, and SoftmaxWithLoss: the multinomial logistic loss of a softmax, the loss of segmentation nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import LossLayer, Shape, TorchLayer, canonical_axis
from caffe.layers.checks import class_labels, label_count_error
from caffe.layers.normalization import LossNormalizer
from caffe.layers.registry import register_layer


@register_layer("Softmax")
class Softmax(TorchLayer):
    """Caffe layer Softmax: y = exp(x) / sum of exp(x) along an axis.

    Bottom: any shape. Top: the same. Option (softmax_param): axis (1). Gradient: the bottom.
    """

    keeps_coordinates = True
    repeats = True
    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        self.axis = canonical_axis(self.layer_param.softmax_param.axis, len(bottom[0]), f"layer '{self.name}'")

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [torch.softmax(bottom[0], self.axis)]


class _SoftmaxLoss(torch.autograd.Function):
    """The loss with Caffe's gradient, which ignores the clamp of the logarithm; keeps the probabilities and nothing else."""

    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, index: torch.Tensor, ignored: torch.Tensor | None, axis: int, normalizer: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        probabilities = torch.softmax(scores, axis)
        picked = probabilities.gather(axis, index).clamp_(min=torch.finfo(torch.float32).tiny)
        terms = picked.log_().neg_()
        if ignored is not None:
            terms.masked_fill_(ignored, 0)
        ctx.save_for_backward(probabilities, index, ignored)
        ctx.axis, ctx.normalizer = axis, normalizer
        ctx.mark_non_differentiable(probabilities)
        return terms.sum() / normalizer, probabilities

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        probabilities, index, ignored = ctx.saved_tensors
        grad = probabilities.clone()
        grad.scatter_add_(ctx.axis, index, grad.new_full((1,), -1.0).expand_as(index))
        if ignored is not None:
            grad.masked_fill_(ignored, 0)
        return grad.mul_(grads[0] / ctx.normalizer), None, None, None, None


@register_layer("SoftmaxWithLoss")
class SoftmaxWithLoss(LossLayer):
    """Caffe layer SoftmaxWithLoss: L = - sum over positions of log(max(softmax(x)[label], FLT_MIN)) / normalizer.

    Bottoms: scores x, (N, C, ...); labels, one per position, 0 .. C - 1. Tops: the loss, without axes; optionally softmax(x).
    Options: softmax_param.axis (1); loss_param.ignore_label (none): such positions count neither in L nor in the gradient;
    loss_param.normalization (VALID; FULL, BATCH_SIZE, NONE), or normalize: false for BATCH_SIZE. Gradient: x,
    loss_weight (softmax(x) - onehot(label)) / normalizer.
    """

    max_tops = 2

    def build(self, bottom: Sequence[Shape]) -> None:
        self.axis = canonical_axis(self.layer_param.softmax_param.axis, len(bottom[0]), f"layer '{self.name}'")
        loss_param = self.layer_param.loss_param
        self.ignore = loss_param.ignore_label if loss_param.HasField("ignore_label") else None
        self.normalizer = LossNormalizer.of(self.layer_param)

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        scores, label = bottom
        positions = (*scores[: self.axis], *scores[self.axis + 1 :])
        if torch.Size(label).numel() != torch.Size(positions).numel():
            raise label_count_error(self, scores, label)
        return [(), scores][: max(1, len(self.layer_param.top))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores, label = bottom
        index, ignored = class_labels(self, label, scores.shape[self.axis], self.ignore)
        places = [*scores.shape]
        places[self.axis] = 1
        index = index.reshape(places)
        ignored = None if ignored is None else ignored.reshape(places)
        normalizer = self.normalizer(tuple(scores.shape), self.axis, ignored)
        loss, probabilities = _SoftmaxLoss.apply(scores, index, ignored, self.axis, normalizer)
        return [loss, probabilities][: max(1, len(self.layer_param.top))]
