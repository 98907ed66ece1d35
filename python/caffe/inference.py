"""Inference where only a net's outputs matter: without the copies in a wide zero border, with fewer products, or in bfloat16.

The trunk of a net is the chain of convolutions, poolings and element-wise layers that starts at its image. Inference runs it
by itself, channels last (what the convolutions compute in anyway), and leaves all other layers to the net.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TypeGuard

import numpy as np
import torch
import torch.nn.functional as F

from caffe import bands, winograd
from caffe.border import Slide, StagePlan, plan_axis
from caffe.errors import CaffeError
from caffe.layers.base import Layer, TorchLayer
from caffe.layers.convolution import HUGE_WEIGHTS, Convolution
from caffe.layers.pooling import Pooling
from caffe.mode import PRECISIONS
from caffe.net import Net
from caffe.proto import caffe_pb2

_ELEMENTWISE = frozenset(
    {
        "ReLU",
        "PReLU",
        "ELU",
        "Swish",
        "Sigmoid",
        "TanH",
        "BNLL",
        "Clip",
        "Dropout",
        "AbsVal",
        "Power",
        "Exp",
        "Log",
        "Split",
    }
)
_MANY_CHANNELS = 128 * 256  # of inputs times of outputs
_PLANS_KEPT = 64  # lengths of image axes
_BAND_BYTES = 8 << 20  # of a map, for the rows that are made at a time


@dataclass
class _Step:
    """One layer of the trunk and the blobs that layers outside of it read behind it."""

    index: int
    layer: TorchLayer
    exits: list[str] = field(default_factory=list)

    def slide(self, axis: int, padded: bool) -> Slide:
        """What the layer does along rows (0) or columns (1); `padded`: its padding is part of its input."""
        layer = self.layer
        if isinstance(layer, Convolution):
            w = layer.windows
            pad = 0 if padded else w.pad[axis]
            extent = w.dilation[axis] * (w.kernel[axis] - 1) + 1
            stride = w.stride[axis]
            return Slide(w.kernel[axis], stride, pad, w.dilation[axis], lambda n: (n + 2 * pad - extent) // stride + 1)
        if isinstance(layer, Pooling):
            pool = layer.pool
            return Slide(pool.kernel[axis], pool.stride[axis], pool.pad[axis], 1, lambda n: pool.output((n, n))[axis])
        return Slide(1, 1, 0, 1, lambda n: n)


class Inference:
    """Runs a net in phase TEST for its outputs; blobs that layers hand each other on the way read as zeros afterwards.

    Where the trunk's first convolution pads by more than its kernel, as FCNs do by 100 pixels, rows and columns of the border
    that equal others are computed once (see caffe.border), and 3 x 3 convolutions of many channels take Winograd's form (see
    caffe.winograd): the same outputs up to the rounding of float32. Nets without such a
    border, and layers that the trunk cannot hold, are run as the net runs them.

    net: the net, with its weights, which are read here, once.
    precision: "float32", or "bf16": the trunk's weights and maps are bfloat16 (8 significant bits; sums are float32), all
        layers from its last convolution on, which scores the classes, stay float32.

    Raises CaffeError if the net is in phase TRAIN or the precision is unknown.
    """

    def __init__(self, net: Net, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise CaffeError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        if net.phase != caffe_pb2.TEST:
            raise CaffeError(f"net {net.name!r} is in phase TRAIN; inference needs caffe.TEST")
        self.net = net
        net.frees_blobs = True
        self._dtype = PRECISIONS[precision]
        self._steps = _trunk(net, without_scores=self._dtype != torch.float32)
        self._pad = _border(self._steps[0].layer) if self._steps else (0, 0)
        if self._dtype == torch.float32 and not any(self._pad):
            self._steps = []
        self._params = [self._converted(step.layer) for step in self._steps]
        self._stages = _stages(self._steps)
        self._plan: Callable[[int, int], list[StagePlan]] = lru_cache(_PLANS_KEPT)(self._planned)

    def forward(self) -> dict[str, np.ndarray]:
        """Run the net on what its input blobs hold; returns {blob name: data} of its outputs."""
        if not self._steps:
            return self.net.forward()
        first, last = self._steps[0].index, self._steps[-1].index
        self.net.run_forward(0, first - 1)
        self._run_trunk()
        self.net.run_forward(last + 1)
        return {name: self.net.blobs[name].data for name in self.net.outputs}

    def _converted(self, layer: TorchLayer) -> list[torch.Tensor]:
        """The parameters as the trunk reads them; convolutions would otherwise reorder their weights in every forward."""
        if _transforms(layer, self._dtype):
            return [winograd.transformed(layer.blobs[0].tensor), *(p.tensor for p in layer.blobs[1:])]
        ordered = isinstance(layer, Convolution) and layer.blobs[0].count <= HUGE_WEIGHTS
        layout = torch.channels_last if ordered else torch.contiguous_format
        return [
            p.tensor.to(self._dtype).contiguous(memory_format=layout if len(p.shape) == 4 else torch.contiguous_format)
            for p in layer.blobs
        ]

    def _is_padded(self, step: _Step) -> bool:
        return any(self._pad) and step is self._steps[0]

    def _planned(self, axis: int, length: int) -> list[StagePlan]:
        return plan_axis([self._slides(stage, axis) for stage in self._stages], length, self._pad[axis])

    def _slides(self, stage: Sequence[_Step], axis: int = 0) -> list[Slide]:
        return [step.slide(axis, self._is_padded(step)) for step in stage]

    @torch.no_grad()
    def _run_trunk(self) -> None:
        net = self.net
        for step in self._steps:
            step.layer.reshape(*net._blobs_of(step.index))  # its checks, and the shapes that later layers read
        x = net.blobs[net._bottoms[self._steps[0].index][0]].tensor
        rows, columns = self._plan(0, x.shape[2]), self._plan(1, x.shape[3])
        pad_y, pad_x = self._pad
        x = F.pad(x.to(self._dtype), (pad_x, pad_x, pad_y, pad_y)).contiguous(memory_format=torch.channels_last)
        params = iter(self._params)
        for stage, row, column in zip(self._stages, rows, columns):
            x = _selected(x, row.take, column.take)
            ours = list(islice(params, len(stage)))
            if band := self._band(stage, x):
                x = bands.run(x, self._slides(stage), self._part(stage, ours), band)
                self._leave(stage[-1], x, row.restore[-1], column.restore[-1])
                continue
            for step, values, y, z in zip(stage, ours, row.restore, column.restore):
                x = _applied(step.layer, x, values, self._is_padded(step))
                self._leave(step, x, y, z)

    def _leave(self, step: _Step, x: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> None:
        """Hand a step's output to the layers outside of the trunk."""
        for name in step.exits:
            self.net.blobs[name].tensor = _selected(x, rows, columns).float()

    def _band(self, stage: Sequence[_Step], x: torch.Tensor) -> int:
        """How many rows of a stage's output to make at a time; 0: all, where maps fit the cache or other layers read them."""
        first, last = stage[0].layer, stage[-1].layer
        slides = self._slides(stage)
        if any(slide.pad > slide.dilation * (slide.kernel - 1) for slide in slides):
            return 0  # windows that see padding alone
        plain = not any(step.exits for step in stage[:-1]) and not (isinstance(last, Pooling) and any(last.pool.pad))
        if (
            not isinstance(first, Convolution)
            or not plain
            or any(_transforms(step.layer, self._dtype) for step in stage)
        ):
            return 0
        row = len(x) * x.shape[3] * first.num_output * x.element_size()  # bytes
        if row * x.shape[2] <= _BAND_BYTES:
            return 0
        return max(1, _BAND_BYTES // row // math.prod(slide.stride for slide in slides))

    def _part(self, stage: Sequence[_Step], params: Sequence[Sequence[torch.Tensor]]) -> bands.Part:
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
    w = layer.windows
    fits = w.kernel == (3, 3) and w.stride == w.dilation == (1, 1) and layer.group == 1
    return fits and dtype == torch.float32 and layer.channels * layer.num_output >= _MANY_CHANNELS


def _selected(x: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> torch.Tensor:
    """These rows and columns of maps N x C x H x W, channels last; without a copy where that is all of them."""
    for axis, places in ((2, rows), (3, columns)):
        if len(places) != x.shape[axis] or any(place != at for at, place in enumerate(places)):
            index = torch.tensor(places, device=x.device)
            x = x.permute(0, 2, 3, 1).index_select(axis - 1, index).permute(0, 3, 1, 2)
    return x


def _trunk(net: Net, without_scores: bool) -> list[_Step]:
    """The chain of layers behind an image, consecutive in the net; [] if none starts with a convolution."""
    start = next((i for i, layer in enumerate(net.layers) if _fits(layer) and isinstance(layer, Convolution)), None)
    if start is None or not _is_input(net, net._bottoms[start][0]):
        return []
    steps: list[_Step] = []
    current = net._bottoms[start][0]
    for i in range(start, len(net.layers)):
        layer, tops = net.layers[i], net._tops[i]
        if net._bottoms[i] != [current] or not _fits(layer):
            break
        current = tops[0]
        if layer.type == "Split" and i + 1 < len(net.layers) and net._bottoms[i + 1][0] in tops:
            current = net._bottoms[i + 1][0]
        steps.append(_Step(i, layer, [top for top in tops if top != current]))
    if without_scores:
        del steps[max(k for k, step in enumerate(steps) if isinstance(step.layer, Convolution)) :]
    while steps and steps[-1].layer.type == "Split":
        steps.pop()
    if steps:
        steps[-1].exits = list(net._tops[steps[-1].index])
    return steps


def _fits(layer: Layer) -> TypeGuard[TorchLayer]:
    """Whether each pixel of the layer's one top depends on a window of its one bottom, everywhere in the same way."""
    if isinstance(layer, Convolution):
        return layer.spatial_axes == 2 and layer.axis == 1 and len(layer.layer_param.bottom) == 1
    if isinstance(layer, Pooling):
        stochastic = layer.method == caffe_pb2.PoolingParameter.STOCHASTIC
        return not stochastic and not layer.global_pooling and len(layer.layer_param.top) == 1
    return layer.type in _ELEMENTWISE and isinstance(layer, TorchLayer)


def _is_input(net: Net, blob: str) -> bool:
    """Whether the blob is an input of the net, or a Split's copy of one."""
    for bottoms, tops, layer in zip(net._bottoms, net._tops, net.layers):
        if blob in tops and layer.type == "Split":
            return _is_input(net, bottoms[0])
    return blob in net.inputs


def _border(layer: TorchLayer) -> tuple[int, int]:
    """The padding of a convolution where whole windows lie in it, else 0 and 0."""
    assert isinstance(layer, Convolution)
    w = layer.windows
    wide = any(p > d * (k - 1) for p, k, d in zip(w.pad, w.kernel, w.dilation))
    return (w.pad[0], w.pad[1]) if wide else (0, 0)


def _stages(steps: Sequence[_Step]) -> list[list[_Step]]:
    """The steps up to and including each pooling: between them maps are long, and copies can be left out two by two."""
    stages: list[list[_Step]] = [[]]
    for step in steps:
        stages[-1].append(step)
        if isinstance(step.layer, Pooling):
            stages.append([])
    return [stage for stage in stages if stage]
