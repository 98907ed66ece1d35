"""Building a net from its definition: layers in order, their blobs by name, their parameters."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from caffe.blob import Blob
from caffe.coord_map import align_crops
from caffe.errors import CaffeError
from caffe.layers.base import Layer
from caffe.layers.registry import layer_class
from caffe.logs.glog import number, signed
from caffe.net.definition import filter_net, insert_splits
from caffe.net.dependencies import allow_overwriting, find_last_reads, propagate_need_backward
from caffe.net.node import Node
from caffe.net.parameters import Parameters
from caffe.proto import caffe_pb2, text

logger = signed("net.cpp")


def expanded(definition: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy with the layers of its state alone, Crop layers aligned where they ask for it, and Split layers."""
    filtered = filter_net(definition)
    logger.info("Initializing net from parameters: \n%s", text.to_text(filtered))
    if filtered.crop_aligns:
        align_crops(filtered)
    return insert_splits(filtered)


class Builder:
    """Builds the layers of an expanded definition; `folder` is where the prototxt lies, None if it was not read from a file.

    Attributes: `nodes`, `blobs` (name -> Blob, in order of creation), `blob_loss_weights` (by name), `parameters`, `unread`
    (names of the blobs that no layer reads). Raises CaffeError, in Caffe's words, for what does not fit together.
    """

    def __init__(self, definition: caffe_pb2.NetParameter, folder: Path | None) -> None:
        self.nodes: list[Node] = []
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self.blob_loss_weights: OrderedDict[str, float] = OrderedDict()
        self.parameters = Parameters()
        self.unread: list[str] = []
        self._phase: int = definition.state.phase
        self._folder = folder
        self._need_backward: set[str] = set()  # blobs
        memory = 0
        for param in definition.layer:
            self._append(param)
            memory += sum(blob.count for blob in self.nodes[-1].top)
            logger.info("Memory required for data: %d", 4 * memory)
        propagate_need_backward(self.nodes, bool(definition.force_backward))
        allow_overwriting(self.nodes)
        find_last_reads(self.nodes)

    def _append(self, param: caffe_pb2.LayerParameter) -> None:
        if not param.HasField("phase"):
            param.phase = self._phase  # type: ignore[assignment]
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise CaffeError(
                f"layer '{param.name}': propagate_down param must be specified either 0 or bottom_size times ({len(param.bottom)})"
            )
        node = self._connected(self._created(param), param)
        self.nodes.append(node)
        node.setup()
        node.reshape()
        logger.info("Setting up %s", param.name)
        self._weigh(node, param)
        self.parameters.add(node.layer)
        below = [name in self._need_backward for name in param.bottom]
        node.layer.propagate_down = list(param.propagate_down) if param.propagate_down else below
        node.needs_backward = any(node.layer.propagate_down) or any(node.layer.param_propagate_down)
        change = self._need_backward.update if node.needs_backward else self._need_backward.difference_update
        change(node.tops)

    def _created(self, param: caffe_pb2.LayerParameter) -> Layer:
        layer = layer_class(param.type, param.name)(param, param.phase)
        layer.folder = self._folder
        layer.type = param.type  # type: ignore[misc]  # Python layers share one class per module, not per type
        logger.info("Creating Layer %s", param.name)
        return layer

    def _connected(self, layer: Layer, param: caffe_pb2.LayerParameter) -> Node:
        """The layer with its blobs, those of its tops that are not in place made for it."""
        for blob in param.bottom:
            if blob not in self.unread:
                raise CaffeError(f"Unknown bottom blob '{blob}' (layer '{param.name}')")
            logger.info("%s <- %s", param.name, blob)
            self.unread.remove(blob)
        tops = list(param.top)
        needed = max(layer.min_tops or 0, layer.exact_tops or 0, 1 if layer.is_loss else 0)
        if layer.is_loss:
            tops += [f"(automatic {param.name} {k})" for k in range(len(tops), needed)]
        for blob in tops:
            if blob in param.bottom and blob in self.blobs:
                logger.info("%s -> %s (in-place)", param.name, blob)
            elif blob in self.blobs:
                raise CaffeError(f"Top blob '{blob}' produced by multiple sources (layer '{param.name}').")
            else:
                logger.info("%s -> %s", param.name, blob)
                self.blobs[blob] = Blob((0,))
            self.unread.append(blob)
        _check_counts(layer, param, len(param.bottom), len(tops))
        bottoms = list(param.bottom)
        bottom, top = ([self.blobs[name] for name in names] for names in (bottoms, tops))
        return Node(param.name, layer, bottoms, tops, bottom, top)

    def _weigh(self, node: Node, param: caffe_pb2.LayerParameter) -> None:
        weights = param.loss_weight
        node.layer.loss_weights = [weights[k] if k < len(weights) else 0.0 for k in range(len(node.tops))]
        if node.layer.is_loss and not weights:
            node.layer.loss_weights[0] = 1.0
        for name, blob, weight in zip(node.tops, node.top, node.layer.loss_weights):
            logger.info("Top shape: %s", blob.shape_string())
            if weight:
                logger.info("    with loss weight %s", number(weight))
            self.blob_loss_weights[name] = weight


def _check_counts(layer: Layer, param: caffe_pb2.LayerParameter, bottoms: int, tops: int) -> None:
    for what, count, exact, least, most in (
        ("bottom", bottoms, layer.exact_bottoms, layer.min_bottoms, layer.max_bottoms),
        ("top", tops, layer.exact_tops, layer.min_tops, layer.max_tops),
    ):
        for words, wrong, limit in (
            ("", exact is not None and count != exact, exact),
            ("at least ", least is not None and count < least, least),
            ("at most ", most is not None and count > most, most),
        ):
            if wrong:
                raise CaffeError(
                    f"layer '{param.name}': {param.type} Layer takes {words}{limit} {what} blob(s), not {count}."
                )
    if layer.equal_bottoms_tops and bottoms != tops:
        raise CaffeError(
            f"layer '{param.name}': {param.type} Layer produces one top blob as output for each bottom blob input."
        )
