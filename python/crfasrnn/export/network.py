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


def crf_bottoms(net: Net) -> list[str] | None:
    """The bottoms of the net's last layer if it is a CRF: unary, Q0 and image; None if it is none."""
    last = net.nodes[-1]
    return list(last.bottoms) if isinstance(last.layer, MultiStageMeanfieldLayer) else None
