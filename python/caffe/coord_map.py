"""Coordinate maps between blobs of a net: where a Crop layer has to cut.

A map (a, b) per spatial axis says that position x of an earlier blob is position a*x + b of a later one. Convolution and pooling
give x/s + (2p - (k-1)) / (2s), Deconvolution the inverse, layers that work pixel by pixel the identity (Long et al., "Fully
Convolutional Networks", and Caffe's own coordinate maps). Fractions keep the arithmetic exact.
"""

from __future__ import annotations

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


class AxisMap(NamedTuple):
    """x -> scale * x + shift along one spatial axis."""

    scale: Fraction
    shift: Fraction

    def after(self, first: AxisMap) -> AxisMap:
        """The map that applies `first` and then this one."""
        return AxisMap(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> AxisMap:
        """The map back."""
        return AxisMap(1 / self.scale, -self.shift / self.scale)


Map = tuple[AxisMap, AxisMap]
IDENTITY: Map = (AxisMap(Fraction(1), Fraction(0)), AxisMap(Fraction(1), Fraction(0)))


def layer_map(layer: caffe_pb2.LayerParameter) -> Map | None:
    """The map from a layer's bottom to its top, or None where there is none (InnerProduct, Flatten, data layers ...).

    Layers say it of themselves (caffe.Layer.keeps_coordinates, windows_of), a plugin's as well. Raises CaffeError for wrong
    options.
    """
    described = find_layer_class(layer.type, layer.name)
    if described is None:
        return None
    if described.keeps_coordinates:
        return IDENTITY
    windows = described.windows_of(layer)
    if windows is None:
        return None
    maps = [AxisMap(*window.coordinates()) for window in windows[:2]]
    first, second = (axis_map.inverse() for axis_map in maps) if described.transposes_windows else maps
    return first, second


def crop_offsets(net: caffe_pb2.NetParameter, crop_index: int) -> tuple[int, int]:
    """The offsets (vertical, horizontal) at which layer `crop_index` must cut its first bottom to lie on its second.

    Both bottoms are followed back to a blob that they share. Raises CaffeError where there is none, where the two differ in
    scale, or where the offset is not a non-negative integer.
    """
    trouble = _trouble(net.layer[crop_index])
    advice = ". Give crop_param { axis: 2 offset: ... } instead."
    offsets = []
    for link in _links(net, crop_index, advice):
        if link.scale != 1:
            raise CaffeError(trouble + f"they differ in scale by {link.scale}" + advice)
        if link.shift.denominator != 1 or link.shift < 0:
            raise CaffeError(trouble + f"the offset would be {link.shift}" + advice)
        offsets.append(int(link.shift))
    return offsets[0], offsets[1]


def _trouble(crop: caffe_pb2.LayerParameter) -> str:
    return f"layer '{crop.name}': cannot align {crop.bottom[0]} with {crop.bottom[1]}: "


def _links(net: caffe_pb2.NetParameter, crop_index: int, advice: str = ".") -> Map:
    """Per axis, the map from the second bottom of a Crop layer to its first. Raises CaffeError where nothing connects them."""
    crop = net.layer[crop_index]
    cut, reference = (_ancestors(net, crop_index, name) for name in crop.bottom[:2])
    node = next((node for node in reference if node in cut), None)
    if node is None:
        raise CaffeError(_trouble(crop) + "no blob is connected to both by layers with coordinate maps" + advice)
    first, second = (c.after(r.inverse()) for c, r in zip(cut[node], reference[node]))
    return first, second


def coord_map_from_to(top_from: Top, top_to: Top) -> tuple[int, np.ndarray, np.ndarray]:
    """The map between the coordinates of two tops of a network program, as pycaffe's caffe.coord_map.coord_map_from_to.

    Returns (axis, a, b): along the spatial axes, those behind `axis` (1), position x of `top_from` is position a*x + b of
    `top_to`; a and b are float64 arrays, of one number where height and width agree and else of two. Raises CaffeError where
    the tops are not connected by layers that have such maps.

    >>> from caffe import layers as L
    >>> from caffe.coord_map import coord_map_from_to
    >>> data = L.Input(shape={"dim": [1, 3, 20, 20]})
    >>> coord_map_from_to(L.Convolution(data, kernel_size=3, num_output=2), data)
    (1, array([1.]), array([1.]))
    """
    maps = [link.inverse() for link in _links(*_as_crop(top_from, top_to))]
    if maps[0] == maps[1]:
        del maps[1]
    return 1, np.array([float(m.scale) for m in maps]), np.array([float(m.shift) for m in maps])


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer, for a network program, that cuts `top_from` to the size of `top_to` at the place where the two align.

    As pycaffe's caffe.coord_map.crop: crop_param gets axis 2 and the offset (one number where both axes have the same). Raises
    CaffeError where the tops are not connected, differ in scale, or the offset would be negative or no integer.

    >>> from caffe import layers as L
    >>> from caffe.coord_map import crop
    >>> data = L.Input(shape={"dim": [1, 3, 20, 20]})
    >>> scores = L.Convolution(data, kernel_size=3, pad=10, num_output=2)
    >>> crop(scores, data).fn.params["crop_param"]
    {'axis': 2, 'offset': [9]}
    """
    offsets = crop_offsets(*_as_crop(top_from, top_to))
    offset = list(offsets if offsets[0] != offsets[1] else offsets[:1])
    cropped: Top = net_spec.layers.Crop(top_from, top_to, crop_param={"axis": 2, "offset": offset})
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
        if layer.type == "Crop":
            if layer.HasField("crop_param"):
                offset = layer.crop_param.offset
                shift = [Fraction(-int(offset[min(i, len(offset) - 1)])) if offset else Fraction(0) for i in range(2)]
                step: Map | None = (AxisMap(Fraction(1), shift[0]), AxisMap(Fraction(1), shift[1]))
                sources = list(layer.bottom[:1])
            else:
                # It will be aligned with its second bottom, so its coordinates are that one's.
                step, sources = IDENTITY, list(layer.bottom[1:2])
        else:
            step, sources = layer_map(layer), list(layer.bottom)
        if step is not None:
            queue.extend((producer, s, (to_start[0].after(step[0]), to_start[1].after(step[1]))) for s in sources)
    return found


def align_crops(net: caffe_pb2.NetParameter) -> None:
    """Fill the crop_param of every Crop layer that has none, in nets of the time when Crop aligned itself (in place).

    BVLC Caffe cuts such layers at offset 0 from axis 2, which shifts a model of 2015 by up to 31 pixels.
    """
    for i, layer in enumerate(net.layer):
        if layer.type == "Crop" and not layer.HasField("crop_param") and len(layer.bottom) == 2:
            offsets = crop_offsets(net, i)
            logger.info(
                "Layer %s (Crop of %s to %s) has no crop_param: aligned at offset %d, %d",
                layer.name,
                layer.bottom[0],
                layer.bottom[1],
                *offsets,
            )
            layer.crop_param.axis = 2
            layer.crop_param.offset.extend(offsets if offsets[0] != offsets[1] else offsets[:1])
