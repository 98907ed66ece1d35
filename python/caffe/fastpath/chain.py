"""The chain of convolutions, poolings and pointwise layers that starts at a net's image, run as one.

Maps stay channels last, what the convolutions compute in anyway, and in one precision; large ones are made in bands of rows that
fit the cache; of a wide zero border, rows and columns that equal others are computed once (see caffe.fastpath.border).
Inference runs nets so, and training the part of them that nothing is learned in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import TypeGuard

import torch
import torch.nn.functional as F

from caffe.fastpath import bands
from caffe.fastpath.border import StagePlan, plan_axis
from caffe.layers import winograd
from caffe.layers.base import Layer, TorchLayer
from caffe.layers.convolution import HUGE_WEIGHTS, MANY_CHANNELS, Convolution
from caffe.layers.pooling import Pooling
from caffe.layers.window import Window, Windows
from caffe.net.graph import NetGraph
from caffe.proto import caffe_pb2

_PLANS_KEPT = 64  # lengths of image axes
_BAND_BYTES = 8 << 20  # of a map, for the rows that are made at a time


@dataclass
class Step:
    """One layer of the chain and the blobs that layers outside of it read behind it."""

    index: int
    layer: TorchLayer
    exits: list[str] = field(default_factory=list)
    windows: Windows | None = field(init=False)

    def __post_init__(self) -> None:
        self.windows = self.layer.windows_of(self.layer.layer_param)

    def window(self, axis: int, padded: bool) -> Window:
        """What the layer does along rows (0) or columns (1); `padded`: its padding is part of its input."""
        if self.windows is None:
            return Window(1)
        return replace(self.windows[axis], pad=0) if padded else self.windows[axis]


class LayerChain:
    """Some layers of a net, each reading what the one before it makes, run at once; only what others read is left in blobs.

    net: it, with its parameters. steps: the layers, the first a convolution of the net's image.
    dtype: of the maps and of the parameters in between. keeps_params: the parameters are read here, once, not in every run.
    """

    def __init__(self, net: NetGraph, steps: Sequence[Step], dtype: torch.dtype, keeps_params: bool = False) -> None:
        self._net, self._steps, self._dtype = net, list(steps), dtype
        self._pad = border(steps[0].layer)
        self._stages = _stages(steps)
        self._plan: Callable[[int, int], list[StagePlan]] = lru_cache(_PLANS_KEPT)(self._planned)
        self._kept = self._params(ordered=True) if keeps_params else None

    @property
    def first(self) -> int:
        """The first layer's index."""
        return self._steps[0].index

    @property
    def last(self) -> int:
        """The last layer's index."""
        return self._steps[-1].index

    def _params(self, ordered: bool = False) -> list[list[torch.Tensor]]:
        """The parameters as they are computed with. ordered: those of convolutions in the order that the library would otherwise
        give them in every run."""
        return [self._converted(step.layer, ordered) for step in self._steps]

    def _converted(self, layer: TorchLayer, ordered: bool) -> list[torch.Tensor]:
        if _transforms(layer, self._dtype):
            return [winograd.transformed(layer.blobs[0].tensor), *(p.tensor for p in layer.blobs[1:])]
        ordered = ordered and isinstance(layer, Convolution) and layer.blobs[0].count <= HUGE_WEIGHTS
        layout = torch.channels_last if ordered else torch.contiguous_format
        return [
            p.tensor.to(self._dtype).contiguous(memory_format=layout if len(p.shape) == 4 else torch.contiguous_format)
            for p in layer.blobs
        ]

    def _is_padded(self, step: Step) -> bool:
        return any(self._pad) and step is self._steps[0]

    def _planned(self, axis: int, length: int) -> list[StagePlan]:
        return plan_axis([self._windows(stage, axis) for stage in self._stages], length, self._pad[axis])

    def _windows(self, stage: Sequence[Step], axis: int = 0) -> list[Window]:
        return [step.window(axis, self._is_padded(step)) for step in stage]

    @torch.no_grad()
    def run(self) -> None:
        """Compute the blobs that other layers read from the image's blob, and shape all of them."""
        net = self._net
        for step in self._steps:
            net.nodes[step.index].reshape()  # its checks, and the shapes that later layers read
        x = net.nodes[self.first].bottom[0].tensor
        rows, columns = self._plan(0, x.shape[2]), self._plan(1, x.shape[3])
        pad_y, pad_x = self._pad
        x = F.pad(x.to(self._dtype), (pad_x, pad_x, pad_y, pad_y)).contiguous(memory_format=torch.channels_last)
        remaining = iter(self._params() if self._kept is None else self._kept)
        for stage, row, column in zip(self._stages, rows, columns):
            x = selected(x, row.take, column.take)
            ours = list(islice(remaining, len(stage)))
            if band := self._band(stage, x):
                x = bands.run(x, self._windows(stage), self._part(stage, ours), band)
                self._leave(stage[-1], x, row.restore[-1], column.restore[-1])
                continue
            for step, values, y, z in zip(stage, ours, row.restore, column.restore):
                x = _applied(step.layer, x, values, self._is_padded(step))
                self._leave(step, x, y, z)

    def _leave(self, step: Step, x: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> None:
        """Hand a step's output to the layers outside of the chain."""
        for name in step.exits:
            self._net.blobs[name].tensor = selected(x, rows, columns).float()

    def _band(self, stage: Sequence[Step], x: torch.Tensor) -> int:
        """How many rows of a stage's output to make at a time; 0: all, where maps fit the cache or other layers read them."""
        first, last = stage[0].layer, stage[-1].layer
        windows = self._windows(stage)
        if any(window.pad > window.extent - 1 for window in windows):
            return 0  # windows that see padding alone
        plain = not any(step.exits for step in stage[:-1]) and not (isinstance(last, Pooling) and bool(windows[-1].pad))
        if (
            not isinstance(first, Convolution)
            or not plain
            or any(_transforms(step.layer, self._dtype) for step in stage)
        ):
            return 0
        row = len(x) * x.shape[3] * first.num_output * x.element_size()  # bytes
        if row * x.shape[2] <= _BAND_BYTES:
            return 0
        return max(1, _BAND_BYTES // row // math.prod(window.stride for window in windows))

    def _part(self, stage: Sequence[Step], params: Sequence[Sequence[torch.Tensor]]) -> bands.Part:
        def part(k: int, x: torch.Tensor, outside: tuple[int, int]) -> torch.Tensor:
            layer = stage[k].layer
            if not isinstance(layer, Convolution):
                return layer.compute([x], params[k])[0]
            columns = 0 if self._is_padded(stage[k]) else layer.windows.pad[1]
            return _convolved(layer, F.pad(x, (0, 0, *outside)), params[k], (0, columns))

        return part


def _applied(layer: TorchLayer, x: torch.Tensor, params: Sequence[torch.Tensor], padded: bool) -> torch.Tensor:
    """The layer's top; `padded`: its padding is in x already."""
    if _transforms(layer, x.dtype):
        return winograd.convolve(
            x, params[0], params[1] if len(params) > 1 else None, (0, 0) if padded else layer.windows.pad
        )
    if isinstance(layer, Convolution) and (padded or x.dtype != torch.float32):
        rows, columns = (0, 0) if padded else layer.windows.pad
        return _convolved(layer, x, params, (rows, columns))
    return layer.compute([x], params)[0]


def _convolved(
    layer: Convolution, x: torch.Tensor, params: Sequence[torch.Tensor], pad: tuple[int, int]
) -> torch.Tensor:
    """The library's convolution, with another padding than the layer's."""
    w = layer.windows
    return F.conv2d(x, params[0], params[1] if len(params) > 1 else None, w.stride, pad, w.dilation, layer.group)


def _transforms(layer: TorchLayer, dtype: torch.dtype) -> TypeGuard[Convolution]:
    """Whether this is a convolution for which Winograd's form is faster, as it is with many channels; always float32."""
    if not isinstance(layer, Convolution):
        return False
    many = layer.transformable and layer.products >= MANY_CHANNELS
    return many and dtype == torch.float32


def selected(x: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> torch.Tensor:
    """These rows and columns of maps N x C x H x W, channels last; without a copy where that is all of them."""
    for axis, places in ((2, rows), (3, columns)):
        if len(places) != x.shape[axis] or any(place != at for at, place in enumerate(places)):
            index = torch.tensor(places, device=x.device)
            x = x.permute(0, 2, 3, 1).index_select(axis - 1, index).permute(0, 3, 1, 2)
    return x


def chain(net: NetGraph) -> list[Step]:
    """The chain of layers behind an image, consecutive in the net; [] if none starts with a convolution."""
    start = next((i for i, layer in enumerate(net.layers) if _fits(layer) and isinstance(layer, Convolution)), None)
    if start is None or not _is_input(net, net.nodes[start].bottoms[0]):
        return []
    steps: list[Step] = []
    current = net.nodes[start].bottoms[0]
    for i in range(start, len(net.layers)):
        layer, tops = net.layers[i], net.nodes[i].tops
        if net.nodes[i].bottoms != [current] or not _fits(layer):
            break
        current = tops[0]
        if layer.type == "Split" and i + 1 < len(net.layers) and net.nodes[i + 1].bottoms[0] in tops:
            current = net.nodes[i + 1].bottoms[0]
        steps.append(Step(i, layer, [top for top in tops if top != current]))
    return ended(net, steps)


def without_scores(net: NetGraph, steps: Sequence[Step]) -> list[Step]:
    """The layers below the last convolution, which scores the classes."""
    last = max((k for k, step in enumerate(steps) if isinstance(step.layer, Convolution)), default=0)
    return ended(net, steps[:last])


def ended(net: NetGraph, steps: Sequence[Step]) -> list[Step]:
    """A chain cut where a layer's tops may all be read by others."""
    kept = list(steps)
    while kept and kept[-1].layer.type == "Split":
        kept.pop()
    if kept:
        kept[-1].exits = list(net.nodes[kept[-1].index].tops)
    return kept


def _fits(layer: Layer) -> TypeGuard[TorchLayer]:
    """Whether each pixel of the layer's one top depends on a window of its one bottom, everywhere in the same way."""
    if isinstance(layer, Convolution):
        return layer.spatial_axes == 2 and layer.axis == 1 and len(layer.layer_param.bottom) == 1
    if isinstance(layer, Pooling):
        stochastic = layer.method == caffe_pb2.PoolingParameter.STOCHASTIC
        return not stochastic and not layer.global_pooling and len(layer.layer_param.top) == 1
    one_top = len(layer.layer_param.top) == 1 or layer.type == "Split"
    return layer.pointwise and one_top and isinstance(layer, TorchLayer)


def _is_input(net: NetGraph, blob: str) -> bool:
    """Whether the blob comes from a layer that reads no other, or is a Split's copy of such a one."""
    for node in net.nodes:
        if blob in node.tops:
            return _is_input(net, node.bottoms[0]) if node.layer.type == "Split" else not node.bottoms
    return False


def saves_products(steps: Sequence[Step]) -> bool:
    """Whether float32 multiplies less in a chain of these layers than in the layers one by one: the border or Winograd's form."""
    return any(any(border(step.layer)) for step in steps[:1]) or any(
        _transforms(step.layer, torch.float32) for step in steps
    )


def border(layer: TorchLayer) -> tuple[int, int]:
    """The padding of a convolution where whole windows lie in it, else 0 and 0."""
    assert isinstance(layer, Convolution)
    w = layer.windows
    wide = any(window.pad > window.extent - 1 for window in w)
    return (w.pad[0], w.pad[1]) if wide else (0, 0)


def _stages(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps up to and including each pooling: between them maps are long, and copies can be left out two by two."""
    stages: list[list[Step]] = [[]]
    for step in steps:
        stages[-1].append(step)
        if isinstance(step.layer, Pooling):
            stages.append([])
    return [stage for stage in stages if stage]
