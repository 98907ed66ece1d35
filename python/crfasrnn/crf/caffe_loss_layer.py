"""RobustLogLikelihoodLoss and LovaszSoftmaxLoss as layers of caffe nets (found through the entry-point group "caffe.layers")."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch

from caffe.layers.base import LossLayer, Shape, canonical_axis
from caffe.layers.checks import class_labels, label_count_error, layer_error
from caffe.layers.normalization import LossNormalizer
from crfasrnn.crf.losses import lovasz_softmax, robust_log_likelihood

_IGNORED = -1


class _ScoresAndLabels(LossLayer):
    """Bottoms: scores, and labels, one per position. Tops: the loss; optionally softmax(scores)."""

    max_tops = 2

    def build(self, bottom: Sequence[Shape]) -> None:
        self.axis = canonical_axis(self.layer_param.softmax_param.axis, len(bottom[0]), f"layer '{self.name}'")
        loss_param = self.layer_param.loss_param
        self.ignore = loss_param.ignore_label if loss_param.HasField("ignore_label") else None

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        scores, label = bottom
        if math.prod(label) * scores[self.axis] != math.prod(scores):
            raise label_count_error(self, scores, label)
        return [(), scores][: max(1, len(self.layer_param.top))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        scores = bottom[0]
        index, ignored = class_labels(self, bottom[1], scores.shape[self.axis], self.ignore)
        loss = self.loss(scores, index if ignored is None else index.masked_fill(ignored, _IGNORED), ignored)
        return [loss, scores.detach().softmax(self.axis)][: max(1, len(self.layer_param.top))]

    def loss(self, scores: torch.Tensor, index: torch.Tensor, ignored: torch.Tensor | None) -> torch.Tensor:
        """The loss; index: the labels, _IGNORED where ignored."""
        raise NotImplementedError


class RobustLogLikelihoodLossLayer(_ScoresAndLabels):
    """L = - sum over positions of log(softmax(x)[label] + robustness) / normalizer, see crfasrnn.crf.losses.

    Bottoms: scores x, (N, C, ...); labels, one per position, 0 .. C - 1. Tops: the loss, without axes; optionally softmax(x).
    Options: python_param.param_str "robustness: 0.01" (0.01; 0 gives SoftmaxWithLoss); softmax_param.axis (1);
    loss_param.ignore_label, normalization and normalize as for SoftmaxWithLoss. Gradient: x.
    """

    def build(self, bottom: Sequence[Shape]) -> None:
        super().build(bottom)
        self.normalizer = LossNormalizer.of(self.layer_param)
        self.robustness = self._read_robustness()

    def _read_robustness(self) -> float:
        text = self.param_str.strip()
        if not text:
            return 0.01
        stated = re.fullmatch(r"robustness\s*:\s*(\S+)", text)
        try:
            value = float(stated[1]) if stated else math.nan
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise layer_error(
                self, f'python_param.param_str must be "robustness: NUMBER" with a number of at least 0, not {text!r}.'
            )
        return value

    def loss(self, scores: torch.Tensor, index: torch.Tensor, ignored: torch.Tensor | None) -> torch.Tensor:
        rows = scores.movedim(self.axis, -1).flatten(0, -2)
        total = robust_log_likelihood(rows, index.reshape(-1), self.robustness, _IGNORED, "sum")
        return total / self.normalizer(tuple(scores.shape), self.axis, ignored)


class LovaszSoftmaxLossLayer(_ScoresAndLabels):
    """The mean over the images of the Lovász extension of 1 - IU at softmax(x), see crfasrnn.crf.losses.

    Bottoms: scores x, (N, C, ...); labels, one per position, 0 .. C - 1. Tops: the loss, without axes; optionally softmax(x).
    Options: softmax_param.axis (1); loss_param.ignore_label. It is a mean by itself: normalization and normalize change
    nothing. Gradient: x.
    """

    def loss(self, scores: torch.Tensor, index: torch.Tensor, ignored: torch.Tensor | None) -> torch.Tensor:
        images = scores.movedim(self.axis, 1) if self.axis else scores[None]
        return lovasz_softmax(images, index.reshape(len(images), *images.shape[2:]), _IGNORED)
