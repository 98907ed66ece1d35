"""Training: the layers at the start of a net in which nothing is learned, run at once; a Net's `fast_path`."""

from __future__ import annotations

import torch

from caffe import mode
from caffe.fastpath import chain, region
from caffe.fastpath.chain import LayerChain
from caffe.fastpath.region import Region
from caffe.layers.base import TorchLayer
from caffe.layers.convolution import WIDE, Convolution
from caffe.net.graph import FastPath, NetGraph


def frozen(net: NetGraph) -> FastPath:
    """What is faster than such layers one by one, by the net's form."""
    beside = FrozenRegion(net)
    return beside if beside.layers() else FrozenChain(net)


class FrozenRegion:
    """Such layers with branches, their maps channels last, on the CPU; sums may be in another order."""

    def __init__(self, net: NetGraph) -> None:
        layers = region.region(net)
        learns = net.phase == mode.TRAIN  # a solver's test net runs no backward, whatever its layers are ready for
        learned = next((i for i in layers if learns and net.layers[i].will_run_backward), None)
        # Programs that watch a test look at the scores.
        layers = region.without_scores(net, layers) if learned is None else range(layers.start, learned)
        in_a_row = [step.index for step in chain.chain(net)]
        self._region = Region(net, layers, torch.float32) if region.is_worth_it(net, layers, in_a_row) else None

    def layers(self) -> range:
        """The layers that `run` takes the place of."""
        if self._region is None or mode.device().type != "cpu":
            return range(0)
        return range(self._region.first, self._region.last + 1)

    def run(self) -> None:
        """Compute what other layers read of them."""
        assert self._region is not None
        self._region.run()


class FrozenChain:
    """Such layers in a row, where convolutions multiply in bfloat16 anyway.

    All of them hand on what bfloat16 holds exactly, so that its maps may be bfloat16 too; sums may be in another order.
    """

    def __init__(self, net: NetGraph) -> None:
        steps = chain.chain(net)
        end = next((k for k, step in enumerate(steps) if not _is_frozen(step.layer)), len(steps))
        steps = chain.ended(net, steps[:end] if end < len(steps) else chain.without_scores(net, steps))
        self._chain = LayerChain(net, steps, torch.bfloat16) if steps else None

    def layers(self) -> range:
        """The layers that `run` takes the place of; none where it would not give the same."""
        if self._chain is None or not mode.half_convolutions():
            return range(0)
        return range(self._chain.first, self._chain.last + 1)

    def run(self) -> None:
        """Compute what other layers read of them."""
        assert self._chain is not None
        self._chain.run()


def _is_frozen(layer: TorchLayer) -> bool:
    """Whether nothing is learned in or below the layer, and bfloat16 holds its top as it holds its bottom."""
    exact = layer.num_output >= WIDE if isinstance(layer, Convolution) else layer.selects_values
    return exact and not layer.will_run_backward
