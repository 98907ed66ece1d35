"""Losses of vectors: EuclideanLoss, ContrastiveLoss, HingeLoss and SigmoidCrossEntropyLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.layers.base import LossLayer, Shape
from caffe.layers.checks import class_labels, label_count_error, layer_error, shape_string
from caffe.layers.normalization import LossNormalizer
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


@register_layer("EuclideanLoss")
class EuclideanLoss(LossLayer):
    """Caffe layer EuclideanLoss: L = sum (a - b)^2 / (2 N).

    Bottoms: a, b with as many elements, N the length of axis 0. Top: the loss, without axes. Gradients: a, b.
    """

    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if math.prod(bottom[0]) != math.prod(bottom[1]) or bottom[0][:1] != bottom[1][:1]:
            raise layer_error(
                self,
                f"Inputs must have the same dimension: {shape_string(bottom[0])} and {shape_string(bottom[1])}.",
            )
        return [()]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        difference = bottom[0].reshape(-1) - bottom[1].reshape(-1)
        return [difference.dot(difference) / (2 * bottom[0].shape[0])]


@register_layer("ContrastiveLoss")
class ContrastiveLoss(LossLayer):
    """Caffe layer ContrastiveLoss: L = sum over pairs of (y d^2 + (1 - y) max(margin - d, 0)^2) / (2 N), d = |a - b|.

    Bottoms: a and b (N, C) and y (N), 1 for similar pairs and 0 for others; further axes have length 1. Top: the loss, without
    axes. Options (contrastive_loss_param): margin (1), legacy_version (false; max(margin - d^2, 0) instead of the square).
    Gradients: a, b; of dissimilar pairs divided by d + 1e-4 instead of d, as in Caffe.
    """

    exact_bottoms = 3
    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.contrastive_loss_param
        self.margin, self.legacy = param.margin, param.legacy_version

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        a, b, y = bottom
        if a != b or math.prod(y) != a[0] or any(n != 1 for n in a[2:]):
            raise layer_error(
                self,
                f"bottoms must be N x C, N x C and N; they are {', '.join(shape_string(shape) for shape in bottom)}.",
            )
        return [()]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        a, b = (x.flatten(1) for x in bottom[:2])
        similar = bottom[2].detach().reshape(-1) != 0
        squared = (a - b).square().sum(1)
        if self.legacy:
            apart = F.relu(self.margin - squared)
        else:
            distance = squared.detach().sqrt()
            gap = F.relu(self.margin - distance)
            # Value gap^2; slope by the squared distance as Caffe states it, finite where both points coincide.
            slope = -gap / (distance + 1e-4)
            apart = gap.square() + slope * (squared - squared.detach())
        return [torch.where(similar, squared, apart).sum() / (2 * a.shape[0])]


@register_layer("HingeLoss")
class HingeLoss(LossLayer):
    """Caffe layer HingeLoss: L = sum over classes of max(0, 1 - s x)^p / N, s = 1 for the label's class and -1 for the others.

    Bottoms: scores x (N, C...); N labels. Top: the loss, without axes. Option (hinge_loss_param): norm (L1: p = 1; L2: p = 2).
    Gradient: x.
    """

    exact_tops = 1

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if math.prod(bottom[1]) != bottom[0][0]:
            raise label_count_error(self, bottom[0], bottom[1])
        return [()]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores = bottom[0].flatten(1)
        index, _ = class_labels(self, bottom[1], scores.shape[1], None)
        sign = torch.ones_like(scores).scatter_(1, index.reshape(-1, 1), -1.0)
        margins = F.relu(1 + sign * scores)
        if self.layer_param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margins = margins.square()
        return [margins.sum() / scores.shape[0]]


@register_layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LossLayer):
    """Caffe layer SigmoidCrossEntropyLoss: L = - sum (t log p + (1 - t) log(1 - p)) / normalizer, p = sigmoid(x).

    Bottoms: scores x; targets t in [0, 1], as many. Tops: the loss, without axes; optionally p, of x's shape. Options
    (loss_param): ignore_label (none): targets that, cut to integers, equal it do not count; normalization (BATCH_SIZE; FULL,
    VALID, NONE), or normalize: true for VALID. Gradient: x.
    """

    max_tops = 2

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.loss_param
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None
        self.normalizer = LossNormalizer.of(self.layer_param, caffe_pb2.LossParameter.BATCH_SIZE)

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if math.prod(bottom[0]) != math.prod(bottom[1]):
            raise layer_error(
                self,
                "SIGMOID_CROSS_ENTROPY_LOSS layer inputs must have the same count: "
                f"{shape_string(bottom[0])} and {shape_string(bottom[1])}.",
            )
        return [(), bottom[0]][: max(1, len(self.layer_param.top))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores = bottom[0]
        target = bottom[1].detach().reshape(scores.shape)
        ignored = None if self.ignore is None else target.trunc() == self.ignore
        terms = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
        if ignored is not None:
            terms = terms.masked_fill(ignored, 0)
        loss = terms.sum() / self.normalizer(tuple(scores.shape), 1, ignored, per_class=True)
        return [loss, torch.sigmoid(scores.detach())][: max(1, len(self.layer_param.top))]
