"""Accuracy and ArgMax: what scores say about classes. No gradients."""

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


@register_layer("ArgMax")
class ArgMax(TorchLayer):
    """Caffe layer ArgMax: indices (or values) of the top_k scores, the largest first; of equal scores the larger index comes first.

    Bottom: (N, ...). Top: with `axis`, the bottom's shape with top_k there: indices, or values if out_max_val; without, (N, 1,
    top_k) over all scores of an image, or (N, 2, top_k) with out_max_val: indices, then values; trailing 1s up to the bottom's
    number of axes. Options (argmax_param): axis (none), top_k (1), out_max_val (false). No gradient.
    """

    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.argmax_param
        shape = bottom[0]
        self.values, self.top_k = param.out_max_val, param.top_k
        self.axis = canonical_axis(param.axis, len(shape), f"layer '{self.name}'") if param.HasField("axis") else None
        scores = math.prod(shape[1:]) if self.axis is None else shape[self.axis]
        if not 1 <= self.top_k <= scores:
            raise layer_error(self, f"top_k ({self.top_k}) must be in 1..{scores}, the number of scores.")

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottom[0]
        if self.axis is not None:
            return [(*shape[: self.axis], self.top_k, *shape[self.axis + 1 :])]
        return [(shape[0], 2 if self.values else 1, self.top_k, *(1,) * (len(shape) - 3))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0].detach()
        if self.axis is not None:
            values, index = self._largest(x, self.axis)
            return [values if self.values else index.to(x.dtype)]
        values, index = self._largest(x.reshape(x.shape[0], -1), 1)
        rows = [index.to(x.dtype), values] if self.values else [index.to(x.dtype)]
        return [torch.stack(rows, 1).reshape(self.top_shapes([tuple(x.shape)])[0])]

    def _largest(self, x: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
        backwards = x.flip(axis)
        if self.top_k == 1:
            values, index = backwards.max(axis, keepdim=True)
        else:
            ordered = torch.sort(backwards, dim=axis, descending=True, stable=True)
            values, index = ordered.values.narrow(axis, 0, self.top_k), ordered.indices.narrow(axis, 0, self.top_k)
        return values, x.shape[axis] - 1 - index
