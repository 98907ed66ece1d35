"""Coordinate maps between blobs of a net: where a Crop layer has to cut.

A map (a, b) per spatial axis, of which there may be any number, says that position x of an earlier blob is position a*x + b of a
later one. Convolution and pooling give x/s + (2p - (k-1)) / (2s), Deconvolution the inverse, layers that work pixel by pixel the
identity (Long et al., "Fully Convolutional Networks", and Caffe's own coordinate maps). Fractions keep the arithmetic exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from caffe import net_spec
from caffe.errors import CaffeError
from caffe.layers.registry import find_layer_class
from caffe.logs.glog import signed
from caffe.net_spec import Top
from caffe.proto import caffe_pb2

logger = signed("net.cpp")


class MisfitError(CaffeError, AssertionError):
    """Two blobs that cannot be aligned by a cut. pycaffe's coord_map states that by assertions, which its scripts catch."""


class AxisMap(NamedTuple):
    """x -> scale * x + shift along one spatial axis."""

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)

    def after(self, first: AxisMap) -> AxisMap:
        """The map that applies `first` and then this one."""
        return AxisMap(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> AxisMap:
        """The map back."""
        return AxisMap(1 / self.scale, -self.shift / self.scale)


class Map(NamedTuple):
    """The maps along the spatial axes: those behind `axis` (None: as the next layer says), or one that serves them all."""

    axis: int | None
    axes: tuple[AxisMap, ...]

    @classmethod
    def of(cls, axis: int | None, axes: Sequence[AxisMap]) -> Map:
        """One map for all axes where they agree."""
        return cls(axis, tuple(axes) if len(set(axes)) > 1 else (axes[0],))

    def after(self, first: Map) -> Map:
        """The map that applies `first` and then this one. Raises MisfitError where the two are of other axes."""
        known = {axis for axis in (self.axis, first.axis) if axis is not None}
        counts = {len(self.axes), len(first.axes)} - {1}
        if len(known) > 1:
            raise MisfitError(
                f"layers that slide behind axis {min(known)} and behind axis {max(known)} have no map together"
            )
        if len(counts) > 1:
            raise MisfitError(f"layers of {min(counts)} and of {max(counts)} spatial axes have no map together")
        count = max(counts, default=1)
        mine, others = (axes * (count // len(axes)) for axes in (self.axes, first.axes))
        return Map.of(next(iter(known), None), [m.after(o) for m, o in zip(mine, others)])

    def inverse(self) -> Map:
        """The map back."""
        return Map(self.axis, tuple(axis_map.inverse() for axis_map in self.axes))


IDENTITY = Map(None, (AxisMap(),))


def layer_map(layer: caffe_pb2.LayerParameter) -> Map | None:
    """The map from a layer's bottom to its top, or None where there is none (InnerProduct, Flatten, data layers ...).

    Layers say it of themselves (caffe.Layer.keeps_coordinates, windows_of), a plugin's as well. Raises CaffeError for wrong
    options, MisfitError for an axis that is counted from the end.
    """
    described = find_layer_class(layer.type, layer.name)
    if described is None:
        return None
    if described.keeps_coordinates:
        return IDENTITY
    windows = described.windows_of(layer)
    if windows is None:
        return None
    # Layers without convolution_param have its default, 1.
    windowed = Map.of(_from_front(layer, layer.convolution_param.axis), [AxisMap(*w.coordinates()) for w in windows])
    return windowed.inverse() if described.transposes_windows else windowed


def _crop_map(layer: caffe_pb2.LayerParameter) -> Map:
    """The map from a Crop layer's first bottom to its top."""
    axis = _from_front(layer, layer.crop_param.axis) - 1
    return Map.of(axis, [AxisMap(shift=Fraction(-int(offset))) for offset in layer.crop_param.offset or [0]])


def _from_front(layer: caffe_pb2.LayerParameter, axis: int) -> int:
    if axis < 0:
        raise MisfitError(f"layer '{layer.name}': aligning crops needs its axis counted from the front, not {axis}")
    return axis


def crop_offsets(net: caffe_pb2.NetParameter, crop_index: int) -> tuple[int, tuple[int, ...]]:
    """How layer `crop_index` must cut its first bottom to lie on its second: (axis, offsets from that axis on, or one for all).

    Both bottoms are followed back to a blob that they share. Raises CaffeError where there is none; MisfitError where the two
    differ in scale or in their axes, or where the offset is not a non-negative integer.
    """
    trouble = _trouble(net.layer[crop_index])
    advice = ". Give crop_param { axis: 2 offset: ... } instead."
    axis, links = _link(net, crop_index, advice)
    for link in links:
        if link.scale != 1:
            raise MisfitError(trouble + f"they differ in scale by {link.scale}" + advice)
        if link.shift.denominator != 1 or link.shift < 0:
            raise MisfitError(trouble + f"the offset would be {link.shift}" + advice)
    return (1 if axis is None else axis) + 1, tuple(int(link.shift) for link in links)


def _trouble(crop: caffe_pb2.LayerParameter) -> str:
    return f"layer '{crop.name}': cannot align {crop.bottom[0]} with {crop.bottom[1]}: "


def _link(net: caffe_pb2.NetParameter, crop_index: int, advice: str = ".") -> Map:
    """The map from the second bottom of a Crop layer to its first. Raises CaffeError where nothing connects them."""
    crop = net.layer[crop_index]
    try:
        cut, reference = (_ancestors(net, crop_index, name) for name in crop.bottom[:2])
        node = next((node for node in reference if node in cut), None)
        if node is not None:
            return cut[node].after(reference[node].inverse())
    except MisfitError as error:
        raise error.retold(_trouble(crop) + str(error) + advice) from error
    raise CaffeError(_trouble(crop) + "no blob is connected to both by layers with coordinate maps" + advice)


def coord_map_from_to(top_from: Top, top_to: Top) -> tuple[int | None, np.ndarray, np.ndarray]:
    """The map between the coordinates of two tops of a network program, as pycaffe's caffe.coord_map.coord_map_from_to.

    Returns (axis, a, b): along the spatial axes, those behind `axis` (1; None where no layer between the two says), position x
    of `top_from` is position a*x + b of `top_to`; a and b are float64 arrays of one number where all spatial axes agree, else
    of one per axis, for any number of axes. Raises CaffeError where the tops are not connected by layers that have such maps,
    and MisfitError, an AssertionError too, where these are of other axes.

    >>> from caffe import layers as L
    >>> from caffe.coord_map import coord_map_from_to
    >>> data = L.Input(shape={"dim": [1, 3, 20, 20]})
    >>> coord_map_from_to(L.Convolution(data, kernel_size=3, num_output=2), data)
    (1, array([1.]), array([1.]))
    """
    axis, maps = _link(*_as_crop(top_from, top_to)).inverse()
    return axis, np.array([float(m.scale) for m in maps]), np.array([float(m.shift) for m in maps])


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer, for a network program, that cuts `top_from` to the size of `top_to` at the place where the two align.

    As pycaffe's caffe.coord_map.crop: crop_param gets the first spatial axis (2) and the offset, one number where all axes have
    the same. Raises CaffeError where the tops are not connected; MisfitError, an AssertionError too, where they differ in scale,
    or the offset would be negative or no integer.

    >>> from caffe import layers as L
    >>> from caffe.coord_map import crop
    >>> data = L.Input(shape={"dim": [1, 3, 20, 20]})
    >>> scores = L.Convolution(data, kernel_size=3, pad=10, num_output=2)
    >>> crop(scores, data).fn.params["crop_param"]
    {'axis': 2, 'offset': [9]}
    """
    axis, offsets = crop_offsets(*_as_crop(top_from, top_to))
    cropped: Top = net_spec.layers.Crop(top_from, top_to, crop_param={"axis": axis, "offset": list(offsets)})
    return cropped


def _as_crop(top_from: Top, top_to: Top) -> tuple[caffe_pb2.NetParameter, int]:
    """The net that ends in a Crop of one top to the other, and that layer's index."""
    definition: caffe_pb2.NetParameter = net_spec.to_proto(net_spec.layers.Crop(top_from, top_to))
    return definition, len(definition.layer) - 1


def _ancestors(net: caffe_pb2.NetParameter, below: int, blob: str) -> dict[tuple[int, str], Map]:
    """Blobs that `blob`, as layer `below` reads it, is computed from: (producing layer, name) -> map from there, nearest first."""
    found: dict[tuple[int, str], Map] = {}
    queue: list[tuple[int, str, Map]] = [(below, blob, IDENTITY)]
    for reader, name, to_start in queue:
        producer = next((i for i in range(reader - 1, -1, -1) if name in net.layer[i].top), None)
        if producer is None or (producer, name) in found:
            continue
        found[producer, name] = to_start
        layer = net.layer[producer]
        step: Map | None
        if layer.type != "Crop":
            step, sources = layer_map(layer), list(layer.bottom)
        elif layer.HasField("crop_param"):
            step, sources = _crop_map(layer), list(layer.bottom[:1])
        else:
            # It will be aligned with its second bottom, so its coordinates are that one's.
            step, sources = IDENTITY, list(layer.bottom[1:2])
        if step is not None:
            there = to_start.after(step)
            queue.extend((producer, source, there) for source in sources)
    return found


def align_crops(net: caffe_pb2.NetParameter) -> None:
    """Fill the crop_param of every Crop layer that has none, in nets of the time when Crop aligned itself (in place).

    BVLC Caffe cuts such layers at offset 0 from axis 2, which shifts a model of 2015 by up to 31 pixels.
    """
    for i, layer in enumerate(net.layer):
        if layer.type == "Crop" and not layer.HasField("crop_param") and len(layer.bottom) == 2:
            axis, offsets = crop_offsets(net, i)
            logger.info(
                "Layer %s (Crop of %s to %s) has no crop_param: aligned at offset %s",
                layer.name,
                layer.bottom[0],
                layer.bottom[1],
                ", ".join(map(str, offsets)),
            )
            layer.crop_param.axis = axis
            layer.crop_param.offset.extend(offsets)
