"""Which nodes of a net need a backward step, which may write over their bottom, and when a blob is read for the last time."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.layers.base import Layer, TorchLayer
from caffe.logs.glog import signed
from caffe.net.node import Node

logger = signed("net.cpp")


def propagate_need_backward(nodes: Sequence[Node], force: bool) -> None:
    """Drop the backward step of nodes that no loss depends on; `force` (force_backward) then adds it everywhere."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for node in reversed(nodes):
        layer = node.layer
        contributes = any(w or t in under_loss for t, w in zip(node.tops, layer.loss_weights))
        if node.needs_backward and node.tops and all(t in skipped for t in node.tops):
            node.needs_backward = False
            layer.propagate_down = [False] * len(node.bottoms)
        if not contributes:
            node.needs_backward = False
        for j, blob in enumerate(node.bottoms):
            if contributes:
                under_loss.add(blob)
            else:
                layer.propagate_down[j] = False
            if not layer.propagate_down[j]:
                skipped.add(blob)
    for node in nodes:
        layer = node.layer
        if force:
            node.needs_backward = True
            layer.propagate_down = [
                flag or layer.allow_force_backward(j) for j, flag in enumerate(layer.propagate_down)
            ]
            layer.param_propagate_down = [True] * len(layer.param_propagate_down)
        layer.will_run_backward = node.needs_backward and layer.needs_backward
    for node in reversed(nodes):
        words = "needs" if node.needs_backward else "does not need"
        logger.info("%s %s backward computation.", node.name, words)


def allow_overwriting(nodes: Sequence[Node]) -> None:
    """Let in-place layers that keep nothing for backward write over what the layer below has just computed for them."""
    writer: dict[str, Layer] = {}
    for node in nodes:
        below = writer.get(node.bottoms[0]) if node.bottoms and node.tops == node.bottoms else None
        if below is not None and below.fresh_top and not below.will_run_backward and not node.layer.will_run_backward:
            node.layer.may_overwrite = True
        writer.update(dict.fromkeys(node.tops, node.layer))


def find_last_reads(nodes: Sequence[Node]) -> None:
    """Give each node the blobs that nobody reads after its forward; the tops of nodes without bottoms stay."""
    last_reader: dict[Blob, Node] = {blob: node for node in nodes for blob in node.bottom}
    held: set[Blob] = {blob for node in nodes if not node.bottom for blob in node.top}
    for node in nodes:
        if node.layer.will_run_backward and not isinstance(node.layer, TorchLayer):
            held.update(node.bottom, node.top)
    for node in nodes:
        node.last_read = [b for b in node.bottom if last_reader[b] is node and b not in node.top and b not in held]
