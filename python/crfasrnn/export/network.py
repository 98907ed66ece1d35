"""A net of Caffe's as a torch module, for torch's exporters: the same layers and parameters, without blobs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from caffe.errors import CaffeError
from caffe.layers.base import TorchLayer
from caffe.net.net import Net
from crfasrnn.classes import MEAN_BGR
from crfasrnn.crf.caffe_layer import MultiStageMeanfieldLayer


class NetModule(nn.Module):
    """From photographs (N, 3, H, W) float32, BGR of 0 to 255 as OpenCV reads them, to a blob of the net.

    net: a deploy net in phase TEST with its weights, which the module shares. output: the blob that it computes; layers that it
    does not need are left out.

    Raises:
        CaffeError: a layer that the output needs is not stated in torch's operators, as a Python layer is not.
    """

    def __init__(self, net: Net, output: str) -> None:
        super().__init__()
        self._image, self._output = net.inputs[0], output
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))
        self._steps: list[tuple[TorchLayer, list[str], list[str], list[str]]] = []
        for node in _needed(net, output):
            if node.layer.type == "Input":
                continue
            if not isinstance(node.layer, TorchLayer):
                raise CaffeError(
                    f"layer {node.name!r} ({node.layer.type}) cannot be exported: it is not made of torch's operators"
                )
            params = [f"{node.name}_{index}".replace(".", "_") for index in range(len(node.layer.blobs))]
            for name, blob in zip(params, node.layer.blobs):
                self.register_parameter(name, nn.Parameter(blob.tensor, requires_grad=False))
            self._steps.append((node.layer, list(node.bottoms), list(node.tops), params))

    def forward(self, image: Tensor) -> Tensor:
        """The output blob, e.g. scores (N, C, H, W)."""
        blobs = {self._image: image - self.get_buffer("mean")}
        for layer, bottoms, tops, params in self._steps:
            given = [self.get_parameter(name) for name in params]  # by name: exporters put others in their place
            blobs.update(zip(tops, layer.compute([blobs[name] for name in bottoms], given)))
        return blobs[self._output]


def _needed(net: Net, output: str) -> list[Any]:
    """The nodes that make the blob, in order."""
    wanted, found = {output}, []
    for node in reversed(net.nodes):
        if wanted & set(node.tops):
            found.append(node)
            wanted |= set(node.bottoms)
    return found[::-1]


class CrfModule(nn.Module):
    """The CRF at the end of a net, for scores that another program made by the net without it.

    Raises:
        CaffeError: the net does not end with a CRF that starts from its unary scores.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        unary_of(net)
        self._layer = net.nodes[-1].layer
        self.weights = nn.ParameterList([nn.Parameter(b.tensor, requires_grad=False) for b in self._layer.blobs])
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def forward(self, unary: Tensor, image: Tensor) -> Tensor:
        """Scores (N, C, H, W) of unary scores (N, C, H, W) and photographs (N, 3, H, W), BGR of 0 to 255."""
        colours = image - self.get_buffer("mean")
        (scores,) = self._layer.compute([unary, unary, colours], list(self.weights))  # type: ignore[attr-defined]
        return scores  # type: ignore[no-any-return]


def unary_of(net: Net) -> str:
    """The blob of unary scores that the CRF at the net's end refines. Raises CaffeError as CrfModule does."""
    last = net.nodes[-1]
    if not isinstance(last.layer, MultiStageMeanfieldLayer):
        raise CaffeError(f"net {net.name!r} does not end with a CRF that could be left out")
    unary, start, _ = last.bottoms
    copies = [set(node.tops) for node in net.nodes if node.layer.type == "Split"]
    if unary != start and not any({unary, start} <= tops for tops in copies):
        raise CaffeError(f"the CRF of net {net.name!r} starts from {start!r}, not from its unary scores {unary!r}")
    return unary
