"""pycaffe's Net: a prototxt and weights, run by names of layers and blobs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe import mode
from caffe.blob import Blob, BlobVec
from caffe.errors import CaffeError
from caffe.inputs.arguments import array as numbers
from caffe.inputs.arguments import integer
from caffe.layers.base import Layer
from caffe.layers.registry import layer_type_list, unknown_type_message
from caffe.net.definition import phase_name, set_state
from caffe.net.exclusive import exclusive
from caffe.net.graph import NetGraph, PathLike
from caffe.proto import caffe_pb2, text


def _read_definition(path: PathLike) -> caffe_pb2.NetParameter:
    """Read a net; where a fork's field stops the parser, tell first of the fork's layer type that it belongs to."""
    try:
        definition: caffe_pb2.NetParameter = text.read_net(path)
    except text.PrototxtError as error:
        known = layer_type_list()
        for name, layer_type in text.layer_types(path):
            if layer_type and layer_type not in known:
                raise CaffeError(f"{unknown_type_message(layer_type, name)}\n{error}") from error
        raise
    return definition


class Net(NetGraph):
    """pycaffe's Net: `Net(prototxt, phase, level, stages, weights)`, also as keywords, or `Net(prototxt, weights, phase)`.

    Parameters
    ----------
    network_file: a prototxt, or a caffe_pb2.NetParameter.
    phase: caffe.TRAIN or caffe.TEST.
    weights: a .caffemodel or .h5 file to copy parameters from.
    level, stages: for the layers' include and exclude rules.

    Raises CaffeError if a file, a layer or a blob is wrong; the message says which. A Net may be used by one thread at a time, from
    filling the inputs to reading the outputs: a call while another thread is in one raises CaffeError. Threads may have nets of
    their own that use the same weights (share_with).

    >>> import caffe
    >>> _ = open("tiny.prototxt", "w").write('''
    ... layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
    ... layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" reduction_param { axis: 1 } }''')
    >>> net = caffe.Net("tiny.prototxt", caffe.TEST)
    >>> net.blobs["data"].data[...] = [[1, 2], [3, 4]]
    >>> net.forward()["sum"]
    array([10.], dtype=float32)
    """

    def __init__(
        self,
        network_file: PathLike | caffe_pb2.NetParameter,
        *args: Any,
        phase: int | None = None,
        weights: PathLike | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        # (weights, phase) is pycaffe's older form.
        older = bool(args) and isinstance(args[0], str | os.PathLike)
        names = ("weights", "phase") if older else ("phase", "level", "stages", "weights")
        if len(args) > len(names):
            raise TypeError(f"Net(network_file, {', '.join(names)}) takes no further positional arguments")
        given = {"phase": phase, "level": level, "stages": stages, "weights": weights, **dict(zip(names, args))}
        phase, level, stages, weights = given["phase"], given["level"], given["stages"], given["weights"]
        if phase not in (mode.TRAIN, mode.TEST):
            raise TypeError("Net needs a phase: caffe.TRAIN or caffe.TEST")
        if isinstance(network_file, caffe_pb2.NetParameter):
            definition = caffe_pb2.NetParameter()
            definition.CopyFrom(network_file)
            folder = None
        else:
            definition = _read_definition(network_file)
            folder = Path(network_file).parent
        set_state(definition, phase, level, list(stages or ()))
        super().__init__(definition, folder)
        if weights is not None:
            self.copy_from(weights)

    # Functions that are called with a layer's index around its step, as in pycaffe.

    def before_forward(self, function: Callable[[int], object]) -> None:
        """Call this before each layer's forward."""
        self._hooks["before_forward"].append(function)

    def after_forward(self, function: Callable[[int], object]) -> None:
        """Call this after each layer's forward."""
        self._hooks["after_forward"].append(function)

    def before_backward(self, function: Callable[[int], object]) -> None:
        """Call this before each layer's turn in backward, also where it has nothing to do."""
        self._hooks["before_backward"].append(function)

    def after_backward(self, function: Callable[[int], object]) -> None:
        """Call this after each layer's turn in backward, also where it had nothing to do."""
        self._hooks["after_backward"].append(function)

    # Layers and blobs by number, as pycaffe's own helpers see them.

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    def _forward(self, start: int, end: int) -> float:
        return self.run_forward(self._number("start", start), self._number("end", end))

    def _backward(self, start: int, end: int) -> None:
        self.run_backward(self._number("start", start), self._number("end", end))

    def _number(self, name: str, layer: int) -> int:
        return integer(name, layer, 0, len(self.nodes) - 1)

    @property
    def _blobs(self) -> BlobVec:
        return BlobVec(self.blobs.values())

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.nodes[layer].tops]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.nodes[layer].bottoms]

    @property
    def inputs(self) -> list[str]:
        """Names of the tops of Input layers."""
        return list(self._inputs)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Layer name -> names of its tops."""
        return OrderedDict((node.name, node.tops) for node in self.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Layer name -> names of its bottoms."""
        return OrderedDict((node.name, node.bottoms) for node in self.nodes)

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """Layer name -> layer."""
        return OrderedDict((node.name, node.layer) for node in self.nodes)

    def _layer_index(self, name: str) -> int:
        names = self._layer_names
        if name not in names:
            raise ValueError(f"no layer named {name!r}; the net has {', '.join(names)}")
        return names.index(name)

    @exclusive
    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Run the net (from layer `start` to layer `end`) and return {blob name: data} of its outputs and of `blobs`.

        Keyword arguments fill the input blobs, which must have their shape already: net.blobs[name].reshape(...).
        """
        first = self._layer_index(start) if start is not None else 0
        last = self._layer_index(end) if end is not None else None
        wanted = list(self.nodes[last].tops) if last is not None else self.outputs
        if inputs:
            if set(inputs) != set(self._inputs):
                raise ValueError(
                    f"Input blob arguments do not match net inputs: got {sorted(inputs)}, need {self._inputs}."
                )
            for name, value in inputs.items():
                _fill(self.blobs[name], name, numbers(name, value, None))
        self.run_forward(first, last)
        return {name: self.blobs[name].data for name in dict.fromkeys([*wanted, *(blobs or ())])}

    @exclusive
    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> dict[str, np.ndarray]:
        """Run backward (from layer `start` down to layer `end`) and return {blob name: diff} of the inputs and of `diffs`.

        Keyword arguments fill the diffs of output blobs first. Layers that had no forward compute from what the blobs hold.
        """
        first = self._layer_index(start) if start is not None else None
        last = self._layer_index(end) if end is not None else 0
        wanted = list(self.nodes[last].bottoms) if end is not None else self.inputs
        if tops:
            if set(tops) != set(self._outputs):
                raise ValueError(
                    f"Top diff arguments do not match net outputs: got {sorted(tops)}, need {self._outputs}."
                )
            for name, value in tops.items():
                array = numbers(name, value, None)
                if array.shape != self.blobs[name].shape:
                    raise ValueError(f"diff of {name!r} has shape {array.shape}, the blob {self.blobs[name].shape}")
                self.blobs[name].diff[...] = array
        self.run_backward(first, last)
        return {name: self.blobs[name].diff for name in dict.fromkeys([*wanted, *(diffs or ())])}

    @exclusive
    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, np.ndarray]:
        """Run any number of items through the net in batches of its size; returns {blob name: results of all items}.

        Raises ValueError without items, and where inputs are missing or differ in their numbers.
        """
        results: dict[str, list[np.ndarray]] = {}
        for batch, real in self._batches(inputs):
            for name, value in self.forward(blobs=blobs, **batch).items():
                results.setdefault(name, []).extend(value[:real].copy())
        return {name: np.asarray(values) for name, values in results.items()}

    @exclusive
    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **inputs: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Forward and backward over all items in batches; keywords fill input data and output diffs."""
        data: dict[str, list[np.ndarray]] = {}
        grads: dict[str, list[np.ndarray]] = {}
        tops = {name: inputs.pop(name) for name in list(inputs) if name in self._outputs}
        for (batch, real), (top, _) in zip(
            self._batches(inputs), self._batches(tops) if tops else iter(lambda: ({}, 0), 1)
        ):
            for name, value in self.forward(blobs=blobs, **batch).items():
                data.setdefault(name, []).extend(value[:real].copy())
            for name, value in self.backward(diffs=diffs, **top).items():
                grads.setdefault(name, []).extend(value[:real].copy())
        return {n: np.asarray(v) for n, v in data.items()}, {n: np.asarray(v) for n, v in grads.items()}

    def _batches(self, inputs: dict[str, Any]) -> Any:
        """Yield ({name: one batch}, number of real items in it); the last batch is filled up with zeros."""
        if not inputs:
            raise ValueError(f"no data: give an array for each of the net's inputs {self._inputs} by its name")
        arrays = {name: np.atleast_1d(value) for name, value in inputs.items()}
        counts = {len(a) for a in arrays.values()}
        if len(counts) != 1:
            raise ValueError(f"inputs need the same number of items, got { {n: len(a) for n, a in arrays.items()} }")
        count = counts.pop()
        name = next(iter(arrays))
        size = self.blobs[name].shape[0] if name in self.blobs else 1
        if not count or not size:
            raise ValueError(f"nothing to run: {name!r} has {count} item(s), and the net takes {size} at a time")
        for begin in range(0, count, size):
            real = min(size, count - begin)
            batch = {n: a[begin : begin + size] for n, a in arrays.items()}
            if real < size:
                batch = {
                    n: np.concatenate([a, np.zeros((size - real, *a.shape[1:]), a.dtype)]) for n, a in batch.items()
                }
            yield batch, real

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Feed the net's first layer, a MemoryData layer: data N x C x H x W and labels N (float32)."""
        layer = self.layers[0]
        feed = getattr(layer, "set_input_arrays", None)
        if feed is None:
            raise CaffeError(
                f"set_input_arrays may only be called if the first layer is a MemoryData layer, not {layer.type}"
            )
        feed(data, labels)

    def load_hdf5(self, path: PathLike) -> None:
        """Copy parameters from an HDF5 file."""
        self.copy_from(path)

    def __repr__(self) -> str:
        return f"<caffe.Net {self.name!r}, {phase_name(self.phase)}, {len(self.layers)} layers>"


def _fill(blob: Blob, name: str, value: np.ndarray) -> None:
    if value.shape[:1] != blob.shape[:1]:
        raise ValueError(f"Input {name!r} is not batch sized: {value.shape}, the blob has {blob.shape}.")
    if value.shape != blob.shape:
        raise ValueError(
            f"Input {name!r} has shape {value.shape}, the blob {blob.shape}; call net.blobs[{name!r}].reshape{value.shape} first."
        )
    blob.data[...] = value
