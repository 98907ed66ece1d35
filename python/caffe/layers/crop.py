"""Crop: cut one blob to the size of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer


@register_layer("Crop")
class Crop(TorchLayer):
    """Caffe layer Crop: y = x[offset : offset + reference size] along every axis from `axis` on.

    Bottoms: x, and a reference of which only the shape matters. Top: x's shape in front of `axis`, the reference's from there on.
    Options (crop_param): axis (2), offset: none (0), one for all axes, or one per axis from `axis` on. Gradient: x, zero outside
    the cut. Nets whose crops align themselves get their offsets written into crop_param by the Net.
    """

    any_layout = True
    repeats = True
    exact_bottoms = 2
    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index == 0

    def build(self, bottom: Sequence[Shape]) -> None:
        self._cuts(bottom)

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        axis, _ = self._cuts(bottom)
        return [(*bottom[0][:axis], *bottom[1][axis:])]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        axis, cuts = self._cuts([tuple(x.shape) for x in bottom])
        return [bottom[0][(slice(None),) * axis + tuple(cuts)].contiguous()]

    def _cuts(self, bottom: Sequence[Shape]) -> tuple[int, list[slice]]:
        param = self.layer_param.crop_param
        source, reference = bottom
        axis = canonical_axis(param.axis, len(source), f"layer '{self.name}'")
        cropped = len(source) - axis
        offsets = [int(offset) for offset in param.offset] or [0]
        if len(offsets) not in (1, cropped):
            raise layer_error(
                self,
                f"number of offset values specified ({len(offsets)}) must be equal to the number of dimensions following "
                f"axis {axis} ({cropped}), or one.",
            )
        if len(offsets) == 1:
            offsets *= cropped
        if len(reference) != len(source):
            raise layer_error(
                self,
                f"both bottoms must have as many axes; they are {shape_string(source)} and {shape_string(reference)}.",
            )
        for i, offset in enumerate(offsets, start=axis):
            if offset + reference[i] > source[i]:
                raise layer_error(
                    self,
                    f"the crop for dimension {i} is out-of-bounds with size {reference[i]} and offset {offset}: the blob to crop "
                    f"has size {source[i]} there (bottom[0]: {shape_string(source)}, bottom[1]: {shape_string(reference)}).",
                )
        return axis, [slice(offset, offset + reference[i]) for i, offset in enumerate(offsets, start=axis)]
