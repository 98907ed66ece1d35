"""Layers that copy, join, cut or reshape blobs: Split, Concat, Slice, Flatten, Reshape, Tile and Silence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer


@register_layer("Split")
class Split(TorchLayer):
    """Caffe layer Split: every top is the bottom. Tops share the bottom's memory. Gradient: the sum of the tops' diffs."""

    keeps_coordinates = True
    any_layout = True
    repeats = True
    pointwise = True
    exact_bottoms = 1
    min_tops = 1

    @property
    def selects_values(self) -> bool:
        return True

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        # view_as would lose the order of a single map in memory.
        return [bottom[0][...] for _ in self.layer_param.top]


@register_layer("Concat")
class Concat(TorchLayer):
    """Caffe layer Concat: the bottoms one after the other along an axis.

    Bottoms: one or more, equal but for that axis. Top: the sum of their lengths there. Options (concat_param): axis (1), or the
    legacy concat_dim. Gradients: all bottoms.
    """

    keeps_coordinates = True
    any_layout = True
    repeats = True
    min_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            raise layer_error(self, "Either axis or concat_dim should be specified; not both.")
        axis = param.concat_dim if param.HasField("concat_dim") else param.axis
        self.axis = canonical_axis(axis, len(bottom[0]), f"layer '{self.name}'")

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        first, a = bottom[0], self.axis
        for i, shape in enumerate(bottom):
            if len(shape) != len(first) or (shape[:a], shape[a + 1 :]) != (first[:a], first[a + 1 :]):
                raise layer_error(
                    self,
                    f"All inputs must have the same shape, except at concat_axis {a}: bottom[0] is {shape_string(first)}, "
                    f"bottom[{i}] {shape_string(shape)}.",
                )
        return [(*first[:a], sum(shape[a] for shape in bottom), *first[a + 1 :])]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [torch.cat(list(bottom), self.axis)]


@register_layer("Slice")
class Slice(TorchLayer):
    """Caffe layer Slice: the bottom cut along an axis, at slice_point or into equal parts.

    Bottom: any shape. Tops: one or more. Options (slice_param): axis (1), or the legacy slice_dim; slice_point (one fewer than
    tops, ascending). Gradient: the bottom.
    """

    keeps_coordinates = True
    any_layout = True
    repeats = True
    exact_bottoms = 1
    min_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            raise layer_error(self, "Either axis or slice_dim should be specified; not both.")
        axis = param.slice_dim if param.HasField("slice_dim") else param.axis
        self.axis = canonical_axis(axis, len(bottom[0]), f"layer '{self.name}'")
        self.points = [int(point) for point in param.slice_point]
        if self.points and len(self.points) != len(self.layer_param.top) - 1:
            raise layer_error(
                self,
                f"{len(self.layer_param.top)} tops need {len(self.layer_param.top) - 1} slice_point, not {len(self.points)}.",
            )

    def _lengths(self, shape: Shape) -> list[int]:
        tops, length = len(self.layer_param.top), shape[self.axis]
        if self.points:
            edges = [0, *self.points, length]
            lengths = [after - before for before, after in itertools.pairwise(edges)]
            if any(n <= 0 for n in lengths):
                raise layer_error(
                    self, f"slice_point {self.points} must ascend within the axis, whose length is {length}."
                )
            return lengths
        if length % tops:
            raise layer_error(self, f"Number of top blobs ({tops}) should evenly divide input slice axis ({length}).")
        return [length // tops] * tops

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        shape, a = bottom[0], self.axis
        return [(*shape[:a], length, *shape[a + 1 :]) for length in self._lengths(shape)]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        parts = bottom[0].split(self._lengths(tuple(bottom[0].shape)), self.axis)
        return [part.contiguous() for part in parts]


class _SameElements(TorchLayer):
    """A layer whose top holds the bottom's elements, in the same memory, under another shape."""

    any_layout = True
    repeats = True
    exact_bottoms = 1
    exact_tops = 1

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [bottom[0].reshape(self.top_shapes([tuple(bottom[0].shape)])[0])]


@register_layer("Flatten")
class Flatten(_SameElements):
    """Caffe layer Flatten: axes `axis` to `end_axis` become one.

    Options (flatten_param): axis (1), end_axis (-1). Gradient: the bottom.
    """

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        param, shape = self.layer_param.flatten_param, bottom[0]
        start = canonical_axis(param.axis, len(shape), f"layer '{self.name}'")
        end = canonical_axis(param.end_axis, len(shape), f"layer '{self.name}'")
        return [(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])]


@register_layer("Reshape")
class Reshape(_SameElements):
    """Caffe layer Reshape: axes `axis` to `axis + num_axes` get a new shape.

    Options (reshape_param): shape (0 copies the length, one -1 is inferred), axis (0), num_axes (-1: to the end). Gradient: bottom.
    """

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        param, shape = self.layer_param.reshape_param, bottom[0]
        # A negative axis counts from behind the last one, so that -1 can append axes.
        start = param.axis if param.axis >= 0 else len(shape) + param.axis + 1
        if not 0 <= start <= len(shape):
            raise layer_error(self, f"axis {param.axis} out of range for the bottom's shape {shape_string(shape)}.")
        end = len(shape) if param.num_axes == -1 else start + param.num_axes
        if param.num_axes < -1 or end > len(shape):
            raise layer_error(
                self, f"axis {start} and num_axes {param.num_axes} exceed the shape {shape_string(shape)}."
            )
        wanted = list(param.shape.dim)
        if wanted.count(-1) > 1 or any(d < -1 for d in wanted):
            raise layer_error(self, f"new shape contains multiple -1 dims; at most a single (1) value of -1: {wanted}.")
        for i, length in enumerate(wanted):
            if length == 0:
                if start + i >= len(shape):
                    raise layer_error(
                        self, f"new shape contains a 0, but there is no corresponding bottom axis to copy: {wanted}."
                    )
                wanted[i] = shape[start + i]
        known = math.prod(shape[:start]) * math.prod(shape[end:]) * math.prod(d for d in wanted if d != -1)
        count = math.prod(shape)
        if -1 in wanted:
            if known == 0 or count % known:
                raise layer_error(
                    self,
                    f"bottom count ({count}) must be divisible by the product of the specified dimensions ({known}).",
                )
            wanted[wanted.index(-1)] = count // known
        elif known != count:
            raise layer_error(
                self, f"output count must match input count: {known} is not {count} (bottom {shape_string(shape)})."
            )
        return [(*shape[:start], *wanted, *shape[end:])]


@register_layer("Tile")
class Tile(TorchLayer):
    """Caffe layer Tile: the bottom repeated along an axis. Options (tile_param): axis (1), tiles. Gradient: sum over the copies."""

    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.tile_param
        if param.tiles < 1:
            raise layer_error(self, "Number of tiles must be positive.")
        self.axis, self.tiles = canonical_axis(param.axis, len(bottom[0]), f"layer '{self.name}'"), param.tiles

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        shape, a = bottom[0], self.axis
        return [(*shape[:a], shape[a] * self.tiles, *shape[a + 1 :])]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        repeats = [1] * bottom[0].dim()
        repeats[self.axis] = self.tiles
        return [bottom[0].repeat(repeats)]


@register_layer("Silence")
class Silence(TorchLayer):
    """Caffe layer Silence: takes any bottoms, so that they are no net outputs. No top. Gradients: zero."""

    min_bottoms = 1
    exact_tops = 0

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        return []

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return []

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        for blob, flag in zip(bottom, propagate_down):
            if flag:
                blob.grad = torch.zeros_like(blob.tensor)
