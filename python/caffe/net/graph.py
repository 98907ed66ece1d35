"""A net that runs: forward and backward through ranges of its nodes, its parameters read and written."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from caffe import mode
from caffe.blob import Blob, BlobVec
from caffe.errors import CaffeError
from caffe.inputs.arguments import instance
from caffe.layers.base import Layer, TorchLayer
from caffe.logs.glog import signed
from caffe.net import debug_info
from caffe.net.build import Builder, expanded
from caffe.net.exclusive import OneThread, exclusive
from caffe.net.memory import give_back_freed_memory
from caffe.net.node import Node
from caffe.net.weights import copy_weights, diagonal_bilinear, report_unmatched
from caffe.proto import caffe_pb2, model_file

logger = signed("net.cpp")

PathLike = str | os.PathLike[str]

# When a user's functions are called: around the step of each layer.
_HOOKS = ("before_forward", "after_forward", "before_backward", "after_backward")

_HUGE_PARAMETER = 1 << 23  # elements


class FastPath(ABC):
    """Runs consecutive layers of a net, none of which has a loss, at once; forward alone, if nothing is learned in them."""

    @abstractmethod
    def layers(self) -> range:
        """Their indices, none where it can't be used now."""

    @abstractmethod
    def run(self) -> None:
        """Compute what other layers read of them."""

    def recorded(self) -> range:
        """The layers whose backward is to be `backward`; none where nothing is learned in them, or `run` was not the last."""
        return range(0)

    def backward(self) -> None:  # noqa: B027  # not abstract: called only for what `recorded` says
        """Add to the diffs of their parameters."""

    def release(self) -> None:  # noqa: B027  # most keep nothing
        """Forget what `run` kept for backward."""


class NetGraph(OneThread):
    """The net as Caffe builds it: everything but the conveniences of pycaffe, which Net adds.

    Attributes: `name`, `phase`, `nodes` (the layers in order, with their blobs), `layers`, `blobs` (name -> Blob, in order of
    creation), `parameters`; of these `params` (layer name -> its parameter blobs), `learnable` (parameter blobs that a solver
    updates, each once), `lr_mult` and `decay_mult` of those;
    `frees_blobs` (False): set it where only the outputs and the parameters' gradients matter, and forward lets go of the data of
    every other blob after the last reader, backward of the diffs and of what each layer kept for it, so that they read as zeros
    afterwards; in phase TEST nothing is kept for backward. The tops of layers without bottoms, and what Python layers may look
    at in backward, stay. `fast_path` (None): what runs some of the layers at once where blobs are freed; hooks are not called for
    them. `debug_info` (NetParameter's): log magnitudes of blobs and gradients.

    A net has one set of blobs, so one thread at a time may use it, from filling the inputs to reading the outputs. Running,
    reshaping or loading it while another thread does raises CaffeError. Threads may have nets of their own, on shared weights
    (share_with).
    """

    def __init__(self, definition: caffe_pb2.NetParameter, folder: Path | None = None) -> None:
        super().__init__()
        self._definition = expanded(definition)
        self.name: str = self._definition.name
        self.phase: int = self._definition.state.phase
        built = Builder(self._definition, folder)
        self.nodes: list[Node] = built.nodes
        self.layers: list[Layer] = [node.layer for node in built.nodes]
        self.blobs: OrderedDict[str, Blob] = built.blobs
        self.blob_loss_weights: OrderedDict[str, float] = built.blob_loss_weights
        self.parameters = built.parameters
        self.params: OrderedDict[str, BlobVec] = built.parameters.by_layer
        self.learnable: list[Blob] = built.parameters.learnable
        self.lr_mult: list[float] = built.parameters.lr_mult
        self.decay_mult: list[float] = built.parameters.decay_mult
        self.frees_blobs = False
        self.fast_path: FastPath | None = None
        self.debug_info = bool(self._definition.debug_info)
        self._hooks: dict[str, list[Callable[[int], object]]] = {name: [] for name in _HOOKS}
        self._inputs = [name for node in self.nodes if node.layer.type == "Input" for name in node.tops]
        self._sizes = self._input_shapes()
        self._outputs = sorted(built.unread)
        for node in self.nodes:
            _set_loss_diffs(node)
        for output in self._outputs:
            logger.info("This network produces output %s", output)
        logger.info("Network initialization done.")

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads, in alphabetical order."""
        return list(self._outputs)

    def _input_shapes(self) -> list[tuple[int, ...]]:
        return [self.blobs[name].shape for name in self._inputs]

    # Running.

    @exclusive
    def run_forward(self, start: int = 0, end: int | None = None) -> float:
        """Run layers start..end (both included; default: to the last) and return the sum of their weighted losses."""
        stop = len(self.layers) if end is None else end + 1
        loss = self.run_layers(range(start, stop), self.fast_path)
        if stop == len(self.layers) and self._sizes != self._input_shapes():
            self._sizes = self._input_shapes()
            give_back_freed_memory()
        return loss

    @exclusive
    def run_layers(self, layers: range, fast_path: FastPath | None) -> float:
        """Run consecutive layers, some by the fast path where blobs are freed; returns the sum of their weighted losses."""
        loss = 0.0
        taken = self._taken(fast_path, layers)
        if fast_path is not None:
            fast_path.release()
        for i in layers:
            if i in taken:
                if i == taken[0] and fast_path is not None:
                    fast_path.run()
                continue
            node = self.nodes[i]
            self._call("before_forward", i)
            try:
                node.forward()
            except CaffeError as error:
                places = [place for below in self.layers[:i] for place in below.places]
                if not places:
                    raise
                raise error.retold(f"{error} The batch is {', '.join(places)}.") from error
            for blob, weight in zip(node.top, node.layer.loss_weights):
                if weight:
                    loss += weight * float(blob.tensor.sum())
            _set_loss_diffs(node)
            if self.debug_info:
                debug_info.log_forward(node)
            self._call("after_forward", i)
            if self.frees_blobs:
                for blob in node.last_read:
                    blob.discard_data()
                if self.phase == mode.TEST:
                    node.layer.release()
        return loss

    def _taken(self, fast_path: FastPath | None, layers: range) -> range:
        """The layers of these that the fast path runs."""
        if fast_path is None or not self.frees_blobs or self.debug_info:
            return range(0)
        taken = fast_path.layers()
        return taken if layers.start <= taken.start and taken.stop <= layers.stop else range(0)

    @exclusive
    def run_backward(self, start: int | None = None, end: int = 0) -> None:
        """Run backward from layer `start` (default: the last) down to `end`, both included.

        A layer that has had no forward since it was made, or since `release`, computes from what its bottoms hold. Raises
        CaffeError for such a layer if the net frees its blobs, which then hold nothing, and where a part of the layers is asked for
        that the fast path ran, which go backward at once.
        """
        deferred: list[tuple[Node, TorchLayer]] = []
        first = len(self.nodes) - 1 if start is None else start
        at_once = range(0) if self.fast_path is None else self.fast_path.recorded()
        if first in at_once[:-1] or end in at_once[1:]:
            raise CaffeError(f"layers {at_once.start} to {at_once[-1]} ran at once, and must go backward together.")
        for i in range(first, end - 1, -1):
            node = self.nodes[i]
            if i in at_once:
                if i == at_once[-1] and self.fast_path is not None:
                    self.fast_path.backward()
                _free_after_backward(node)
                continue
            self._call("before_backward", i)
            self._check_remembers(node)
            huge = self._deferring(node)
            if huge is not None:
                node.guarded("backward", huge.backward_bottoms, node.top, huge.propagate_down, node.bottom)
                deferred.append((node, huge))
            elif node.needs_backward:
                node.backward()
                if self.debug_info:
                    debug_info.log_backward(node)
            self._call("after_backward", i)
            if self.frees_blobs and huge is None:
                _free_after_backward(node)
        for node, huge in deferred:
            node.guarded("backward", huge.backward_params, node.top, node.bottom)
            _free_after_backward(node)
        if self.debug_info and start is None and end == 0:
            debug_info.log_totals(self.learnable)

    def _check_remembers(self, node: Node) -> None:
        layer = node.layer
        if self.frees_blobs and node.needs_backward and isinstance(layer, TorchLayer) and not layer.remembers_forward:
            raise CaffeError(f"layer '{node.name}': backward needs a forward first, since this net frees its blobs.")

    def _deferring(self, node: Node) -> TorchLayer | None:
        """The layer if the gradients of its parameters, being huge, are to be made when backward has freed the blobs below."""
        layer = node.layer
        if not isinstance(layer, TorchLayer) or not node.needs_backward:
            return None
        huge = any(blob.count > _HUGE_PARAMETER for blob in layer.blobs)
        return layer if huge and self.frees_blobs and not self.debug_info else None

    def _call(self, when: str, layer: int) -> None:
        for hook in self._hooks[when]:
            hook(layer)

    @exclusive
    def reshape(self) -> None:
        """Pass the input blobs' shapes through all layers, without computing."""
        for node in self.nodes:
            node.reshape()

    def release(self) -> None:
        """Free what forward kept for backward, as a training loop does between its steps."""
        for layer in self.layers:
            layer.release()
        if self.fast_path is not None:
            self.fast_path.release()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all learnable parameters to zero."""
        for blob in self.learnable:
            if self.frees_blobs:
                blob.discard_diff()
            blob.zero_diff()

    # Weights.

    @exclusive
    def copy_from(self, path: PathLike) -> None:
        """Copy the parameters of all layers whose name occurs in a .caffemodel or .h5 file (told apart by content).

        Layers absent from the file keep their values and are reported by a warning; Deconvolution layers that are then all zero
        get diagonal bilinear weights, with a warning, since they would blacken every output. Raises CaffeError, and changes
        nothing, if a shape or the number of blobs differs; within mode.insisting_on_weights(), as in our commands, also if no layer
        matches at all.
        """
        source = model_file.read_model(path)
        missing = copy_weights(self.nodes, self.parameters, source, os.fspath(path), self.name)
        report_unmatched(missing, os.fspath(path))
        diagonal_bilinear(self.layers)

    @exclusive
    def share_with(self, other: NetGraph, told: bool = True) -> None:
        """Use the parameters of the layers of `other` that have the same names (Caffe's ShareTrainedLayersWith).

        told: log which layers of `other` this net has not. Raises CaffeError for parameters of other numbers or shapes.
        """
        instance("other", other, NetGraph)
        for name, blobs in other.params.items():
            if name not in self.params:
                if told:
                    logger.info("Ignoring source layer %s", name)
                continue
            mine = self.params[name]
            if len(mine) != len(blobs):
                raise CaffeError(f"Incompatible number of blobs for layer {name}")
            for k, (target, shared) in enumerate(zip(mine, blobs)):
                if target.shape != shared.shape:
                    raise CaffeError(
                        f"Cannot share param {k} weights from layer '{name}'; shape mismatch.  Source param shape is "
                        f"{shared.shape_string()}; target param shape is {target.shape_string()}"
                    )
                target.share(shared, diff=False)

    def to_proto(self) -> tuple[caffe_pb2.NetParameter, list[list[np.ndarray]]]:
        """The definition of the running net (Split layers included) and the parameters of each of its layers."""
        definition = caffe_pb2.NetParameter()
        definition.name = self.name
        definition.layer.extend(self._definition.layer)
        return definition, [[blob.data for blob in layer.blobs] for layer in self.layers]

    def save(self, path: PathLike, diff: bool = False) -> None:
        """Write definition and parameters as a binary .caffemodel, with `diff` their diffs too."""
        model_file.write_model(path, *self.to_proto(), diffs=self._param_diffs() if diff else None)

    def save_hdf5(self, path: PathLike, diff: bool = False) -> None:
        """Write the parameters as HDF5, /data/<layer>/<i>, with `diff` their diffs too, /diff/<layer>/<i>."""
        diffs = self._param_diffs() if diff else None
        model_file.write_model_hdf5(path, [node.name for node in self.nodes], self.to_proto()[1], diffs=diffs)

    def _param_diffs(self) -> list[list[np.ndarray]]:
        return [[blob.diff for blob in layer.blobs] for layer in self.layers]


def _set_loss_diffs(node: Node) -> None:
    """Fill the diffs of tops that are losses with their weights, where backward begins."""
    for blob, weight in zip(node.top, node.layer.loss_weights):
        if weight:
            blob.grad = torch.full(blob.shape, weight, device=mode.device())


def _free_after_backward(node: Node) -> None:
    node.layer.release()
    for name, blob in zip(node.tops, node.top):
        if name not in node.bottoms:
            blob.discard_diff()
