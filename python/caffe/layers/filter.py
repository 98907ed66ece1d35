"""Filter: the items of a batch that a selector names."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer


@register_layer("Filter")
class Filter(TorchLayer):
    """Caffe layer Filter: of each bottom but the last, the items whose selector is not 0.

    Bottoms: one or more (N, ...); the selector (N). Tops: one fewer, (selected items, ...); their shapes follow the selector's
    values at each forward. Gradients: all bottoms but the selector, 0 for items left out.
    """

    min_bottoms = 2
    min_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != len(self.layer_param.bottom) - 1

    def build(self, bottom: Sequence[Shape]) -> None:
        if len(self.layer_param.top) != len(bottom) - 1:
            raise layer_error(
                self, f"Top.size() must be equal to bottom.size() - 1: {len(self.layer_param.top)} and {len(bottom)}."
            )

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        *items, selector = bottom
        if any(n != 1 for n in selector[1:]):
            raise layer_error(self, f"Selector blob dimensions must be singletons (1), except the first: {selector}.")
        for i, shape in enumerate(items):
            if shape[:1] != selector[:1]:
                raise layer_error(
                    self,
                    f"Each bottom should have the same 0th dimension as the selector blob: bottom {i} is {shape}, {selector}.",
                )
        return items

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        chosen = bottom[-1].detach().reshape(-1).nonzero().flatten()
        return [x.index_select(0, chosen) for x in bottom[:-1]]
