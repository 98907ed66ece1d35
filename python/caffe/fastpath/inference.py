"""Inference where only a net's outputs matter: without the copies in a wide zero border, with fewer products, or in bfloat16."""

from __future__ import annotations

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.fastpath import chain, region
from caffe.fastpath.chain import LayerChain
from caffe.fastpath.region import Region
from caffe.mode import device, dtype
from caffe.net.net import Net
from caffe.proto import caffe_pb2


class Inference:
    """Runs a net in phase TEST for its outputs; blobs that layers hand each other on the way read as zeros afterwards.

    Where the first convolution pads by more than its kernel, as FCNs do by 100 pixels, rows and columns of the border that equal
    others are computed once (see caffe.fastpath.border), and 3 x 3 convolutions of many channels take Winograd's form (see
    caffe.fastpath.winograd): the same outputs up to the rounding of float32. Nets that have neither, and layers that the chain
    cannot hold, are run as the net runs them; so is float32 on a GPU, whose library's convolutions are faster than both. Nets with
    branches from the start keep their maps channels last (see caffe.fastpath.region).

    net: the net, with its weights, which are read here, once.
    precision: "float32", or "bf16": the chain's weights and maps are bfloat16 (8 significant bits; sums are float32), all
        layers from its last convolution on, which scores the classes, stay float32.

    Raises CaffeError if the net is in phase TRAIN or the precision is unknown.
    """

    def __init__(self, net: Net, precision: str = "float32") -> None:
        kind = dtype(precision)
        if net.phase != caffe_pb2.TEST:
            raise CaffeError(f"net {net.name!r} is in phase TRAIN; inference needs caffe.TEST")
        self.net = net
        net.frees_blobs = True
        self._fast: Region | LayerChain | None = _branching(net, kind) or _in_a_row(net, kind)

    def forward(self) -> dict[str, np.ndarray]:
        """Run the net on what its input blobs hold; returns {blob name: data} of its outputs."""
        if self._fast is None:
            return self.net.forward()
        self.net.run_forward(0, self._fast.first - 1)
        self._fast.run()
        self.net.run_forward(self._fast.last + 1)
        return {name: self.net.blobs[name].data for name in self.net.outputs}


def _in_a_row(net: Net, kind: torch.dtype) -> LayerChain | None:
    steps = chain.chain(net)
    if kind != torch.float32:
        steps = chain.without_scores(net, steps)
    elif device().type != "cpu" or not chain.saves_products(steps):
        steps = []
    return LayerChain(net, steps, kind, keeps_params=True) if steps else None


def _branching(net: Net, kind: torch.dtype) -> Region | None:
    """What has most of its convolutions beside a chain."""
    layers = region.region(net)
    in_a_row = [step.index for step in chain.chain(net)]
    if device().type != "cpu" or not region.is_worth_it(net, layers, in_a_row):
        return None
    layers = layers if kind == torch.float32 else region.without_scores(net, layers)
    return Region(net, layers, kind, keeps_params=True)
