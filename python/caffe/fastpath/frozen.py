"""Training: the layers at the start of a net in which nothing is learned, run at once; a Net's `fast_path`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from caffe import mode
from caffe.fastpath import chain, region
from caffe.fastpath.chain import LayerChain
from caffe.fastpath.region import Region
from caffe.layers.base import TorchLayer
from caffe.layers.convolution import WIDE, Convolution
from caffe.net.graph import FastPath, NetGraph


class Frozen(FastPath):
    """Such layers; sums may be in another order. part: what runs them, None if there are none. usable: whether it may do so now."""

    def __init__(self, part: Region | LayerChain | None, usable: Callable[[], bool]) -> None:
        self.part, self._usable = part, usable

    def layers(self) -> range:
        """The layers that `run` takes the place of; none where it would not give the same."""
        return range(self.part.first, self.part.last + 1) if self.part is not None and self._usable() else range(0)

    def run(self) -> None:
        """Compute what other layers read of them."""
        assert self.part is not None
        self.part.run()


def frozen(net: NetGraph, stop: int = sys.maxsize) -> Frozen:
    """What is faster than such layers one by one, by the net's form: with branches, or in a row; stop: before this layer."""
    beside = _with_branches(net, stop) if _on_cpu() else None
    return Frozen(_in_a_row(net, stop), mode.half_convolutions) if beside is None else Frozen(beside, _on_cpu)


def _on_cpu() -> bool:
    return mode.device().type == "cpu"


def _with_branches(net: NetGraph, stop: int) -> Region | None:
    """Their maps channels last."""
    layers = region.region(net)
    layers = range(layers.start, min(layers.stop, stop))
    learns = net.phase == mode.TRAIN  # a solver's test net runs no backward, whatever its layers are ready for
    learned = next((i for i in layers if learns and net.layers[i].will_run_backward), None)
    # Programs that watch a test look at the scores.
    layers = region.without_scores(net, layers) if learned is None else range(layers.start, learned)
    in_a_row = [step.index for step in chain.chain(net)]
    return Region(net, layers, torch.float32) if region.is_worth_it(net, layers, in_a_row) else None


def _in_a_row(net: NetGraph, stop: int) -> LayerChain | None:
    """Where convolutions multiply in bfloat16 anyway: all hand on what bfloat16 holds exactly, so that its maps may be so, too."""
    steps = [step for step in chain.chain(net) if step.index < stop]
    end = next((k for k, step in enumerate(steps) if not _is_frozen(step.layer)), len(steps))
    steps = chain.ended(net, steps[:end] if end < len(steps) else chain.without_scores(net, steps))
    return LayerChain(net, steps, torch.bfloat16) if steps else None


def _is_frozen(layer: TorchLayer) -> bool:
    """Whether nothing is learned in or below the layer, and bfloat16 holds its top as it holds its bottom."""
    exact = layer.num_output >= WIDE if isinstance(layer, Convolution) else layer.selects_values
    return exact and not layer.will_run_backward
