"""Training: the chain of layers behind a net's image, run forward and backward at once; a Net's `fast_path`.

In float32 maps stay channels last from layer to layer, as Winograd's form wants them. Rows and columns of a wide zero border that
equal others are computed once (caffe.fastpath.border): what the full map would hold is a selection of what is computed, so the
gradient of a value is the sum over its copies, and that of the weights comes out as from the full map, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from caffe import mode
from caffe.blob import Blob
from caffe.fastpath import chain
from caffe.fastpath.chain import LayerChain, Step
from caffe.fastpath.frozen import Frozen, frozen
from caffe.layers.activation import ReLU
from caffe.layers.base import ToDiff, TorchLayer
from caffe.layers.convolution import HUGE_WEIGHTS, WIDE, Convolution
from caffe.layers.pooling import Pooling
from caffe.net.graph import FastPath, NetGraph

_FEW_CHANNELS = 4  # of an image: then the library's gradient of the weights does not mind how maps lie


class _Record(NamedTuple):
    """A forward pass that autograd has seen: the parameters it read, with their blobs, and for each exit the end of its graph."""

    params: list[tuple[torch.Tensor, Blob]]
    ends: list[torch.Tensor]


class Trained(LayerChain, FastPath):
    """Such layers of a net that learns, and runs backward with its blobs freed.

    beneath: what runs the first of them where nothing is learned in these and convolutions multiply in bfloat16, which is faster.
    """

    def __init__(self, net: NetGraph, steps: Sequence[Step], beneath: Frozen) -> None:
        super().__init__(net, steps, torch.float32)
        self._beneath = beneath
        self._turns = any(isinstance(step.layer, Convolution) and step.layer.transformable for step in steps)
        self._record: _Record | None = None

    def layers(self) -> range:
        """The layers that `run` takes the place of; none on a GPU, whose library is faster."""
        if mode.device().type != "cpu":
            return range(0)
        return self._beneath.layers() if self._yields() else range(self.first, self.last + 1)

    def _yields(self) -> bool:
        return mode.half_convolutions() and bool(self._beneath.layers())

    def recorded(self) -> range:
        """The layers that `backward` takes the place of."""
        return range(0) if self._record is None else range(self.first, self.last + 1)

    def release(self) -> None:
        """Forget what `run` kept for backward."""
        self._record = None

    def run(self) -> None:
        """Compute what other layers read of them, and keep what backward needs."""
        self.release()
        if self._yields():
            self._beneath.run()
            return
        net = self._net
        for step in self._steps:
            net.nodes[step.index].reshape()
        blobs = [step.layer.blobs for step in self._steps]
        flags = [step.layer.param_propagate_down for step in self._steps]
        params = [[p.tensor.detach().requires_grad_(flag) for p, flag in zip(*layer)] for layer in zip(blobs, flags)]
        with torch.enable_grad():
            ends = self._forward(net.nodes[self.first].bottom[0].tensor, params)
        pairs = zip((p for layer in params for p in layer), (blob for layer in blobs for blob in layer))
        self._record = _Record([pair for pair in pairs if pair[0].requires_grad], ends)

    def _forward(self, x: torch.Tensor, params: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Fill the blobs of all exits; returns the ends of the graph."""
        order = torch.channels_last if self._turns and not mode.half_convolutions() else torch.contiguous_format
        rows, columns = self._plan(0, x.shape[2]), self._plan(1, x.shape[3])
        pad_y, pad_x = self._pad
        x = F.pad(x, (pad_x, pad_x, pad_y, pad_y)).contiguous(memory_format=order)
        ends = []
        remaining = iter(params)
        before: Step | None = None
        for stage, row, column in zip(self._stages, rows, columns):
            x = _selected(x, row.take, column.take).contiguous(memory_format=order)
            for step, y, z in zip(stage, row.restore, column.restore):
                x = self._applied(step, before, x, next(remaining))
                before = step
                if step.exits:
                    whole = _selected(x, y, z).float()
                    for name in step.exits:
                        blob = self._net.blobs[name]
                        blob.tensor = whole.detach()
                        ends.append(ToDiff.apply(whole, blob, order))
        return ends

    def _applied(
        self, step: Step, before: Step | None, x: torch.Tensor, params: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        layer = step.layer
        if isinstance(layer, Convolution):
            return _convolved(layer, x, params, (0, 0) if self._is_padded(step) else layer.windows.pad)
        if not layer.selects_values:
            x = x.float()
        # A convolution's top that a ReLU writes over is read by nobody else, and neither is the gradient of what it becomes.
        alone = before is not None and isinstance(before.layer, Convolution) and not before.exits and not step.exits
        if alone and isinstance(layer, ReLU) and layer.in_place and not layer.negative_slope and x.requires_grad:
            result: torch.Tensor = _Rectified.apply(x)
            return result
        return layer.compute([x], params)[0]

    def backward(self) -> None:
        """Add to the diffs of the layers' parameters what the diffs of the exits say."""
        record = self._record
        assert record is not None
        self.release()
        ends = [end for end in record.ends if end.requires_grad]
        leaves = [leaf for leaf, _ in record.params]
        if not ends or not leaves:
            return
        for grad, (_, blob) in zip(torch.autograd.grad(ends, leaves, allow_unused=True), record.params):
            if grad is not None:
                blob.add_grad(grad)


def trained(net: NetGraph) -> Trained | None:
    """What is faster than the layers of a learning net one by one; None where nothing is."""
    steps = chain.chain(net)
    stop = next((k for k, step in enumerate(steps) if not _fits(step.layer)), len(steps))
    pools = [k for k, step in enumerate(steps[:stop]) if isinstance(step.layer, Pooling)]
    steps = chain.ended(net, steps[: pools[-1] + 1] if pools else [])
    if net.phase != mode.TRAIN or not chain.saves_products(steps) or any(net.layers[steps[0].index].propagate_down):
        return None
    return Trained(net, steps, frozen(net)) if any(step.layer.will_run_backward for step in steps) else None


def _fits(layer: TorchLayer) -> bool:
    """Whether the layer repeats; those with huge weights, whose gradients are made last, are the net's own."""
    return layer.repeats and not any(blob.count > HUGE_WEIGHTS for blob in layer.blobs)


def _convolved(
    layer: Convolution, x: torch.Tensor, params: Sequence[torch.Tensor], pad: tuple[int, ...]
) -> torch.Tensor:
    """The layer's top with another padding than its own; of bfloat16 where its products are."""
    if mode.half_convolutions() and layer.num_output >= WIDE:
        return layer.slid(x.bfloat16(), *(p.bfloat16() for p in params), pad=pad)
    x = x.float()
    if layer.transformable:
        x = x.contiguous(memory_format=torch.channels_last)
    if layer.channels > _FEW_CHANNELS and not layer.transforms(x, pad):
        x = x.contiguous()
    return layer.slid(x, *params, pad=pad)


def _selected(x: torch.Tensor, rows: Sequence[int], columns: Sequence[int]) -> torch.Tensor:
    """These rows and columns of maps N x C x H x W; their gradients are summed in float32."""
    chosen = chain.selected(x.float(), rows, columns)
    return x if chosen.shape == x.shape and chosen.data_ptr() == x.data_ptr() else chosen.to(x.dtype)


class _Rectified(torch.autograd.Function):
    """max(x, 0) in the place of x, and its gradient in the place of the result's, which must be nobody else's."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.relu_())
        return x

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        grad: torch.Tensor = torch.ops.aten.threshold_backward.grad_input(grads[0], y, 0, grad_input=grads[0])
        return grad
