"""BatchReindex: items of a batch in another order, or several times."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer


@register_layer("BatchReindex")
class BatchReindex(TorchLayer):
    """Caffe layer BatchReindex: y[i] = x[index[i]].

    Bottoms: x (N, ...); indices 0 .. N - 1 (M). Top: (M, ...). Gradient: x.
    """

    exact_bottoms = 2
    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        if len(bottom[1]) != 1:
            raise layer_error(self, f"the indices must have one axis; their shape is {shape_string(bottom[1])}.")
        return [(bottom[1][0], *bottom[0][1:])]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        index = bottom[1].detach().long()
        if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < bottom[0].shape[0]):
            raise layer_error(
                self, f"indices {int(index.min())}..{int(index.max())} are not within 0..{bottom[0].shape[0] - 1}."
            )
        return [bottom[0].index_select(0, index)]
