"""Accuracy: how many of the predictions are right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import class_labels, label_count_error, layer_error
from caffe.layers.registry import register_layer


@register_layer("Accuracy")
class Accuracy(TorchLayer):
    """Caffe layer Accuracy: the share of positions whose label is among the top_k scores.

    Bottoms: scores (N, C, ...); labels, one per position. Tops: the accuracy, without axes; optionally the accuracy of each
    class (C). Options (accuracy_param): top_k (1), axis (1), ignore_label (none). Ties count as wrong: the label must score
    higher than all but top_k - 1 other classes. NaN scores count as wrong too. No positions: 0. No gradient.
    """

    exact_bottoms = 2
    min_tops = 1
    max_tops = 2

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.accuracy_param
        self.axis = canonical_axis(param.axis, len(bottom[0]), f"layer '{self.name}'")
        self.top_k = param.top_k
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        scores, label = bottom
        classes = scores[self.axis]
        if self.top_k > classes:
            raise layer_error(
                self, f"top_k ({self.top_k}) must be less than or equal to the number of classes ({classes})."
            )
        if math.prod(label) * classes != math.prod(scores):
            raise label_count_error(self, scores, label)
        return [(), (classes,)][: len(self.layer_param.top)]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores, label = (x.detach() for x in bottom)
        classes = scores.shape[self.axis]
        index, ignored = class_labels(self, label, classes, self.ignore)
        places = [*scores.shape]
        places[self.axis] = 1
        index = index.reshape(places)
        own = scores.gather(self.axis, index)
        # The label's own class is among those that score at least as much.
        correct = ((scores >= own).sum(self.axis, keepdim=True) <= self.top_k) & ~own.isnan()
        valid = torch.ones_like(correct) if ignored is None else ~ignored.reshape(places)
        correct &= valid
        total = correct.sum() / valid.sum().clamp(min=1)
        tops = [total.to(scores.dtype)]
        if len(self.layer_param.top) > 1:
            hits = torch.bincount(index[correct], minlength=classes)
            tops.append((hits / torch.bincount(index[valid], minlength=classes).clamp(min=1)).to(scores.dtype))
        return tops
