"""Losses of class labels other than SoftmaxWithLoss: MultinomialLogisticLoss and InfogainLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import LossLayer, Shape, canonical_axis
from caffe.layers.checks import class_labels, label_count_error, layer_error
from caffe.layers.normalization import LossNormalizer
from caffe.layers.registry import register_layer
from caffe.proto.model_file import read_blob_proto

# Caffe's kLOG_THRESHOLD: probabilities below count as this one.
LOG_THRESHOLD = 1e-20


@register_layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(LossLayer):
    """Caffe layer MultinomialLogisticLoss: L = - sum of log(max(p[label], 1e-20)) / N.

    Bottoms: probabilities p (N, C...); N labels. Top: the loss, without axes. Gradient: p.
    """

    exact_tops = 1

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if math.prod(bottom[1]) != bottom[0][0]:
            raise label_count_error(self, bottom[0], bottom[1])
        return [()]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        probabilities = bottom[0].flatten(1)
        index, _ = class_labels(self, bottom[1], probabilities.shape[1], None)
        picked = probabilities.gather(1, index.reshape(-1, 1))
        # The clamp changes the value, not the slope: a vanished probability must still be pulled up.
        picked = picked + (picked.clamp(min=LOG_THRESHOLD) - picked).detach()
        return [-picked.log().sum() / probabilities.shape[0]]


@register_layer("InfogainLoss")
class InfogainLoss(LossLayer):
    """Caffe layer InfogainLoss: L = - sum over positions of sum over c of H[label, c] log(max(softmax(x)_c, 1e-20)) / normalizer.

    Bottoms: scores x (N, C, ...), not probabilities; labels, one per position; H (C x C), unless infogain_loss_param.source
    names a .binaryproto with it. Tops: the loss, without axes; optionally softmax(x). Options: infogain_loss_param.axis (1);
    loss_param.ignore_label, normalization and normalize as for SoftmaxWithLoss. Gradient: x.
    """

    exact_bottoms = None
    min_bottoms = 2
    max_bottoms = 3
    max_tops = 2

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.infogain_loss_param
        self.axis = canonical_axis(param.axis, len(bottom[0]), f"layer '{self.name}'")
        loss_param = self.layer_param.loss_param
        self.ignore = loss_param.ignore_label if loss_param.HasField("ignore_label") else None
        self.normalizer = LossNormalizer.of(self.layer_param)
        self.stored: torch.Tensor | None = None
        if len(bottom) < 3:
            if not param.source:
                raise layer_error(
                    self, "Infogain matrix source must be specified, or the matrix be given as third bottom."
                )
            self.stored = torch.from_numpy(read_blob_proto(param.source))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        scores, label = bottom[0], bottom[1]
        classes = scores[self.axis]
        if math.prod(label) * classes != math.prod(scores):
            raise label_count_error(self, scores, label)
        elements = math.prod(bottom[2]) if self.stored is None else self.stored.numel()
        if elements != classes * classes:
            raise layer_error(
                self, f"the infogain matrix has {elements} elements, {classes} classes need {classes}x{classes}."
            )
        return [(), scores][: max(1, len(self.layer_param.top))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores, label = bottom[0], bottom[1]
        classes = scores.shape[self.axis]
        matrix = (bottom[2].detach() if self.stored is None else self.stored.to(scores)).reshape(classes, classes)
        index, ignored = class_labels(self, label, classes, self.ignore)
        log_p = scores.log_softmax(self.axis).movedim(self.axis, -1)
        log_p = log_p + (log_p.clamp(min=math.log(LOG_THRESHOLD)) - log_p).detach()
        terms = (matrix[index.reshape(log_p.shape[:-1])] * log_p).sum(-1)
        if ignored is not None:
            terms = terms.masked_fill(ignored.reshape(terms.shape), 0)
        loss = -terms.sum() / self.normalizer(tuple(scores.shape), self.axis, ignored)
        return [loss, scores.detach().softmax(self.axis)][: max(1, len(self.layer_param.top))]
