"""Consecutive layers with branches, run at once: maps stay channels last, in one precision, and live until their last reader.

What `chain` does for layers in a row, without its border and bands: residual networks of narrow and depthwise convolutions spend
their time on moving maps, and between layers the library would otherwise bring every map into another order and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, TorchLayer
from caffe.layers.convolution import Convolution
from caffe.net.graph import NetGraph


class Region:
    """Some layers of a net; only what others read of them is left in blobs.

    net: it, with its parameters. layers: consecutive ones of `region`. dtype: of the maps and parameters. keeps_params: the
    parameters are read here, once, else in every run.
    """

    def __init__(self, net: NetGraph, layers: range, dtype: torch.dtype, keeps_params: bool = False) -> None:
        self._net, self._layers, self._dtype = net, layers, dtype
        self._kept = self._params() if keeps_params else None
        made = {top for i in layers for top in net.nodes[i].tops}
        later = {name for node in net.nodes[layers.stop :] for name in node.bottoms}
        self._exits = made & (later | set(net.outputs))
        last_reader = {name: i for i in layers for name in (*net.nodes[i].bottoms, *net.nodes[i].tops)}
        self._dead = {
            i: [name for name, last in last_reader.items() if last == i and name not in self._exits] for i in layers
        }

    def _params(self) -> list[list[torch.Tensor]]:
        layers = [self._net.layers[i] for i in self._layers]
        return [[_channels_last(blob.tensor, self._dtype) for blob in layer.blobs] for layer in layers]

    @property
    def first(self) -> int:
        """The first layer's index."""
        return self._layers.start

    @property
    def last(self) -> int:
        """The last layer's index."""
        return self._layers.stop - 1

    @torch.no_grad()
    def run(self) -> None:
        """Compute the blobs that other layers read from those that come from other layers."""
        net = self._net
        maps: dict[str, torch.Tensor] = {}
        for i, params in zip(self._layers, self._params() if self._kept is None else self._kept):
            node = net.nodes[i]
            node.reshape()  # its checks, and the shapes that later layers read
            layer = node.layer
            assert isinstance(layer, TorchLayer)
            for name in node.bottoms:
                if name not in maps:  # from another layer
                    maps[name] = _channels_last(net.blobs[name].tensor, self._dtype)
            bottoms = [maps[name] for name in node.bottoms]
            if layer.transposes_windows:
                bottoms = [x.contiguous() for x in bottoms]  # small maps become large ones, which others read
            maps.update(zip(node.tops, layer.compute(bottoms, params)))
            for name in self._dead[i]:
                maps.pop(name, None)
        for name in self._exits:
            net.blobs[name].tensor = maps[name].float()


def _channels_last(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    values = values.to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def region(net: NetGraph) -> range:
    """The consecutive layers around the net's first convolution whose maps may lie in any order."""
    first = next((i for i, layer in enumerate(net.layers) if _fits(layer) and isinstance(layer, Convolution)), None)
    if first is None:
        return range(0)
    start = first
    while start > 0 and _fits(net.layers[start - 1]):
        start -= 1
    stop = next((i for i in range(first, len(net.layers)) if not _fits(net.layers[i])), len(net.layers))
    return range(start, stop)


def is_worth_it(net: NetGraph, layers: range, in_a_row: Sequence[int]) -> bool:
    """Whether most of the convolutions of the region lie beside the chain of these layers."""

    def convolutions(places: Sequence[int]) -> int:
        return sum(isinstance(net.layers[i], Convolution) for i in places)

    return 2 * convolutions(in_a_row) < convolutions(layers)


def without_scores(net: NetGraph, layers: range) -> range:
    """The layers below the last convolution, which scores the classes."""
    last = max((i for i in layers if isinstance(net.layers[i], Convolution)), default=layers.start)
    return range(layers.start, last)


def _fits(layer: Layer) -> bool:
    return isinstance(layer, TorchLayer) and layer.any_layout
