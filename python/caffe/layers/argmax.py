"""ArgMax: the classes with the largest scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer


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
