"""Caffe's Net: layers in order of definition, their blobs and parameters, forward and backward through a range of them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from caffe import mode
from caffe.blob import Blob, BlobVec
from caffe.coord_map import align_crops
from caffe.errors import CaffeError
from caffe.layers.base import Layer, TorchLayer
from caffe.layers.registry import layer_class, layer_type_list, unknown_type_message
from caffe.logs.glog import number, signed
from caffe.net import debug_info
from caffe.net.definition import filter_net, insert_splits, phase_name, set_state
from caffe.net.weights import copy_weights, diagonal_bilinear, report_unmatched
from caffe.proto import caffe_pb2, model_file, text

logger = signed("net.cpp")

PathLike = str | os.PathLike[str]

# When a user's functions are called: around the step of each layer.
_HOOKS = ("before_forward", "after_forward", "before_backward", "after_backward")

_HUGE_PARAMETER = 1 << 23  # elements

# Layers whose top is new memory, never a view of their bottom.
_FRESH_TOPS = frozenset({"Convolution", "Deconvolution", "InnerProduct"})


class Shortcut(Protocol):
    """Runs consecutive layers of a net, none of which has a loss, at once."""

    def layers(self) -> range:
        """Their indices, none where it can't be used now."""

    def run(self) -> None:
        """Compute what other layers read of them."""


class NetGraph:
    """The net as Caffe builds it: everything but the conveniences of pycaffe, which Net adds.

    Attributes: `name`, `phase`, `layers`, `_layer_names`, `blobs` (name -> Blob, in order of creation), `params` (layer name ->
    its parameter blobs), `learnable` (parameter blobs that a solver updates, each once), `lr_mult` and `decay_mult` of those;
    `frees_blobs` (False): set it where only the outputs and the parameters' gradients matter, and forward lets go of the data of
    every other blob after the last reader, backward of the diffs and of what each layer kept for it, so that they read as zeros
    afterwards; in phase TEST nothing is kept for backward. The tops of layers without bottoms, and what Python layers may look
    at in backward, stay. `shortcut` (None): what runs some of the layers at once where blobs are freed; hooks are not called for
    them. `debug_info` (NetParameter's): log magnitudes of blobs and gradients.
    """

    def __init__(self, definition: caffe_pb2.NetParameter, folder: Path | None = None) -> None:
        self._folder = folder
        filtered = filter_net(definition)
        logger.info("Initializing net from parameters: \n%s", text.to_text(filtered))
        if filtered.crop_aligns:
            align_crops(filtered)
        self._definition = insert_splits(filtered)
        self.name: str = filtered.name
        self.phase: int = filtered.state.phase
        self.layers: list[Layer] = []
        self._layer_names: list[str] = []
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self.params: OrderedDict[str, BlobVec] = OrderedDict()
        self.blob_loss_weights: OrderedDict[str, float] = OrderedDict()
        self.learnable: list[Blob] = []
        self.lr_mult: list[float] = []
        self.decay_mult: list[float] = []
        self._learnable_names: list[str] = []
        self.shared_blobs: list[Blob] = []
        self._shared: dict[str, tuple[int, int]] = {}
        self._learnable_id: dict[tuple[int, int], int] = {}
        self._bottoms: list[list[str]] = []
        self._tops: list[list[str]] = []
        self._layer_needs_backward: list[bool] = []
        self._blob_needs_backward: dict[str, bool] = {}
        available: list[str] = []
        memory = 0
        for param in self._definition.layer:
            self._append_layer(param, available)
            memory += sum(self.blobs[t].count for t in self._tops[-1])
            logger.info("Memory required for data: %d", 4 * memory)
        self.frees_blobs = False
        self.shortcut: Shortcut | None = None
        self.debug_info = bool(filtered.debug_info)
        self._hooks: dict[str, list[Callable[[int], object]]] = {name: [] for name in _HOOKS}
        self._propagate_need_backward(bool(filtered.force_backward))
        self._allow_overwriting()
        self._last_read = self._find_last_read()
        self._inputs = [t for names, layer in zip(self._tops, self.layers) if layer.type == "Input" for t in names]
        self._outputs = sorted(available)
        for output in self._outputs:
            logger.info("This network produces output %s", output)
        logger.info("Network initialization done.")

    # Building.

    def _append_layer(self, param: caffe_pb2.LayerParameter, available: list[str]) -> None:
        if not param.HasField("phase"):
            param.phase = self.phase  # type: ignore[assignment]
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise CaffeError(
                f"layer '{param.name}': propagate_down param must be specified either 0 or bottom_size times ({len(param.bottom)})"
            )
        layer = layer_class(param.type, param.name)(param, param.phase)
        layer.folder = self._folder
        layer.type = param.type  # type: ignore[misc]  # Python layers share one class per module, not per type
        logger.info("Creating Layer %s", param.name)
        for blob in param.bottom:
            if blob not in available:
                raise CaffeError(f"Unknown bottom blob '{blob}' (layer '{param.name}')")
            logger.info("%s <- %s", param.name, blob)
            available.remove(blob)
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
            available.append(blob)
        _check_counts(layer, param, len(param.bottom), len(tops))
        self.layers.append(layer)
        self._layer_names.append(param.name)
        self._bottoms.append(list(param.bottom))
        self._tops.append(tops)
        bottom = [self.blobs[b] for b in param.bottom]
        top = [self.blobs[t] for t in tops]
        _guarded(layer, "setup", layer.setup, bottom, top)
        _guarded(layer, "reshape", layer.reshape, bottom, top)
        logger.info("Setting up %s", param.name)
        layer.loss_weights = [param.loss_weight[k] if k < len(param.loss_weight) else 0.0 for k in range(len(tops))]
        if layer.is_loss and not param.loss_weight:
            layer.loss_weights[0] = 1.0
        for blob, weight in zip(tops, layer.loss_weights):
            logger.info("Top shape: %s", self.blobs[blob].shape_string())
            if weight:
                logger.info("    with loss weight %s", number(weight))
            self.blob_loss_weights[blob] = weight
        self._append_params(layer, param)
        below = [self._blob_needs_backward.get(b, False) for b in param.bottom]
        if param.propagate_down:
            below = list(param.propagate_down)
        layer.propagate_down = below
        needs = any(below) or any(layer.param_propagate_down)
        self._layer_needs_backward.append(needs)
        for blob in tops:
            self._blob_needs_backward[blob] = needs

    def _append_params(self, layer: Layer, param: caffe_pb2.LayerParameter) -> None:
        if len(param.param) > len(layer.blobs):
            raise CaffeError(
                f"Too many params specified for layer {param.name}: {len(param.param)}, it has {len(layer.blobs)}."
            )
        if layer.blobs and param.name not in self.params:
            self.params[param.name] = layer.blobs
        index = len(self.layers) - 1
        for k, blob in enumerate(layer.blobs):
            spec = param.param[k] if k < len(param.param) else caffe_pb2.ParamSpec()
            layer.param_propagate_down.append(spec.lr_mult != 0)
            if spec.name and spec.name in self._shared:
                self._share_param(blob, spec, index, k)
                continue
            if spec.name:
                self._shared[spec.name] = (index, k)
            self._learnable_id[index, k] = len(self.learnable)
            self.learnable.append(blob)
            self._learnable_names.append(spec.name or str(k))
            self.lr_mult.append(spec.lr_mult)
            self.decay_mult.append(spec.decay_mult)

    def _share_param(self, blob: Blob, spec: caffe_pb2.ParamSpec, index: int, k: int) -> None:
        owner = self._shared[spec.name]
        owned = self.layers[owner[0]].blobs[owner[1]]
        owner_name, layer_name = self._layer_names[owner[0]], self._layer_names[index]
        logger.info("Sharing parameters '%s' owned by layer '%s', param index %d", spec.name, owner_name, owner[1])
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if blob.count != owned.count if permissive else blob.shape != owned.shape:
            what = "count" if permissive else "shape"
            raise CaffeError(
                f"Cannot share param '{spec.name}' owned by layer '{owner_name}' with layer '{layer_name}'; {what} mismatch.  "
                f"Owner layer param shape is {owned.shape_string()}; sharing layer expects shape {blob.shape_string()}"
            )
        blob.share(owned)
        self.shared_blobs.append(blob)
        learnable = self._learnable_id[owner]
        self._learnable_id[index, k] = learnable
        for field, values in (("lr_mult", self.lr_mult), ("decay_mult", self.decay_mult)):
            if spec.HasField(field):
                value = getattr(spec, field)
                specs = self._definition.layer[owner[0]].param
                stated = owner[1] < len(specs) and specs[owner[1]].HasField(field)
                if stated and values[learnable] != value:
                    raise CaffeError(f"Shared param '{spec.name}' has mismatched {field}.")
                values[learnable] = value

    def _allow_overwriting(self) -> None:
        """Let in-place layers that keep nothing for backward write over what the layer below has just computed for them."""
        writer: dict[str, Layer] = {}
        for layer, bottoms, tops in zip(self.layers, self._bottoms, self._tops):
            below = writer.get(bottoms[0]) if bottoms and tops == bottoms else None
            if below is not None and below.type in _FRESH_TOPS and not below.records and not layer.records:
                layer.may_overwrite = True
            writer.update(dict.fromkeys(tops, layer))

    def _find_last_read(self) -> list[list[str]]:
        """For each layer the blobs that nobody reads after its forward, not even a Python layer in backward."""
        last_reader = {name: i for i, names in enumerate(self._bottoms) for name in names}
        held = {top for bottoms, tops in zip(self._bottoms, self._tops) if not bottoms for top in tops}
        for layer, bottoms, tops in zip(self.layers, self._bottoms, self._tops):
            if layer.records and not isinstance(layer, TorchLayer):
                held.update(bottoms, tops)
        return [
            [n for n in bottoms if last_reader[n] == i and n not in tops and n not in held]
            for i, (bottoms, tops) in enumerate(zip(self._bottoms, self._tops))
        ]

    def _propagate_need_backward(self, force: bool) -> None:
        """Drop the backward step of layers that no loss depends on; force_backward then adds it everywhere."""
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for i in reversed(range(len(self.layers))):
            layer, tops, bottoms = self.layers[i], self._tops[i], self._bottoms[i]
            contributes = any(w or t in under_loss for t, w in zip(tops, layer.loss_weights))
            if self._layer_needs_backward[i] and tops and all(t in skipped for t in tops):
                self._layer_needs_backward[i] = False
                layer.propagate_down = [False] * len(bottoms)
            if not contributes:
                self._layer_needs_backward[i] = False
            for j, blob in enumerate(bottoms):
                if contributes:
                    under_loss.add(blob)
                else:
                    layer.propagate_down[j] = False
                if not layer.propagate_down[j]:
                    skipped.add(blob)
        for i, layer in enumerate(self.layers):
            if force:
                self._layer_needs_backward[i] = True
                layer.propagate_down = [
                    flag or layer.allow_force_backward(j) for j, flag in enumerate(layer.propagate_down)
                ]
                layer.param_propagate_down = [True] * len(layer.param_propagate_down)
            layer.records = self._layer_needs_backward[i] and layer.needs_backward
        for i in reversed(range(len(self.layers))):
            words = "needs" if self._layer_needs_backward[i] else "does not need"
            logger.info("%s %s backward computation.", self._layer_names[i], words)

    # Running.

    def run_forward(self, start: int = 0, end: int | None = None) -> float:
        """Run layers start..end (both included; default: to the last) and return the sum of their weighted losses."""
        loss = 0.0
        stop = len(self.layers) if end is None else end + 1
        taken = self._taken_by_shortcut(start, stop)
        for i in range(start, stop):
            if i in taken:
                if i == taken[0] and self.shortcut is not None:
                    self.shortcut.run()
                continue
            layer = self.layers[i]
            bottom, top = self._blobs_of(i)
            self._call("before_forward", i)
            try:
                _guarded(layer, "reshape", layer.reshape, bottom, top)
                _guarded(layer, "forward", layer.forward, bottom, top)
            except CaffeError as error:
                places = [place for below in self.layers[:i] for place in below.places]
                if not places:
                    raise
                raise CaffeError(f"{error} The batch is {', '.join(places)}.") from error
            for blob, weight in zip(top, layer.loss_weights):
                if weight:
                    loss += weight * float(blob.tensor.sum())
                    blob.grad = torch.full_like(blob.tensor, weight)
            if self.debug_info:
                debug_info.log_forward(self, i)
            self._call("after_forward", i)
            if self.frees_blobs:
                for name in self._last_read[i]:
                    self.blobs[name].discard_data()
                if self.phase == mode.TEST:
                    layer.release()
        return loss

    def _taken_by_shortcut(self, start: int, stop: int) -> range:
        """The layers of a forward through start..stop-1 that the shortcut runs."""
        if self.shortcut is None or not self.frees_blobs or self.debug_info:
            return range(0)
        taken = self.shortcut.layers()
        return taken if start <= taken.start and taken.stop <= stop else range(0)

    def run_backward(self, start: int | None = None, end: int = 0) -> None:
        """Run backward from layer `start` (default: the last) down to `end`, both included."""
        deferred: dict[int, TorchLayer] = {}
        for i in range(len(self.layers) - 1 if start is None else start, end - 1, -1):
            layer = self.layers[i]
            bottom, top = self._blobs_of(i)
            self._call("before_backward", i)
            if (huge := self._deferring(i)) is not None:
                _guarded(layer, "backward", huge.backward_bottoms, top, layer.propagate_down, bottom)
                deferred[i] = huge
            elif self._layer_needs_backward[i]:
                _guarded(layer, "backward", layer.backward, top, layer.propagate_down, bottom)
                if self.debug_info:
                    debug_info.log_backward(self, i)
            self._call("after_backward", i)
            if self.frees_blobs and i not in deferred:
                self._free_after_backward(i)
        for i, huge in deferred.items():
            _guarded(huge, "backward", huge.backward_params, self._blobs_of(i)[1])
            self._free_after_backward(i)
        if self.debug_info and start is None and end == 0:
            debug_info.log_totals(self)

    def _deferring(self, index: int) -> TorchLayer | None:
        """The layer if the gradients of its parameters, being huge, are to be made when backward has freed the blobs below."""
        layer = self.layers[index]
        if not isinstance(layer, TorchLayer) or not self._layer_needs_backward[index]:
            return None
        huge = any(blob.count > _HUGE_PARAMETER for blob in layer.blobs)
        return layer if huge and self.frees_blobs and not self.debug_info else None

    def _free_after_backward(self, index: int) -> None:
        self.layers[index].release()
        for name in self._tops[index]:
            if name not in self._bottoms[index]:
                self.blobs[name].discard_diff()

    def _call(self, when: str, layer: int) -> None:
        for hook in self._hooks[when]:
            hook(layer)

    def _blobs_of(self, index: int) -> tuple[list[Blob], list[Blob]]:
        return [self.blobs[b] for b in self._bottoms[index]], [self.blobs[t] for t in self._tops[index]]

    def reshape(self) -> None:
        """Pass the input blobs' shapes through all layers, without computing."""
        for i, layer in enumerate(self.layers):
            _guarded(layer, "reshape", layer.reshape, *self._blobs_of(i))

    def release(self) -> None:
        """Free what forward kept for backward, as a training loop does between its steps."""
        for layer in self.layers:
            layer.release()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all learnable parameters to zero."""
        for blob in self.learnable:
            if self.frees_blobs:
                blob.discard_diff()
            blob.zero_diff()

    # Weights.

    def copy_from(self, path: PathLike) -> None:
        """Copy the parameters of all layers whose name occurs in a .caffemodel or .h5 file (told apart by content).

        Layers absent from the file keep their values and are reported by a warning; Deconvolution layers that are then all zero
        get diagonal bilinear weights, with a warning, since they would blacken every output. Raises CaffeError, and changes
        nothing, if a shape or the number of blobs differs or if no layer matches at all.
        """
        source = model_file.read_model(path)
        missing = copy_weights(self, source, os.fspath(path))
        report_unmatched(missing, os.fspath(path))
        diagonal_bilinear(self)

    def share_with(self, other: NetGraph) -> None:
        """Use the parameters of the layers of `other` that have the same names (Caffe's ShareTrainedLayersWith)."""
        for name, blobs in other.params.items():
            if name not in self.params:
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
        model_file.write_model_hdf5(path, self._layer_names, self.to_proto()[1], diffs=diffs)

    def _param_diffs(self) -> list[list[np.ndarray]]:
        return [[blob.diff for blob in layer.blobs] for layer in self.layers]


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


def _guarded(layer: Layer, step: str, call: Callable[..., None], *blobs: Any) -> None:
    """Run a layer's step; an error inside a built-in layer names the layer. A user's Python layer raises what it raises."""
    try:
        call(*blobs)
    except CaffeError as error:
        if layer.name in str(error):
            raise
        raise CaffeError(f"layer '{layer.name}' ({layer.type}): {error}") from error
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        if layer.type == "Python":
            raise
        raise CaffeError(f"layer '{layer.name}' ({layer.type}), {step}: {error}") from error


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

    Raises CaffeError if a file, a layer or a blob is wrong; the message says which.
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

    # Blobs by number, as pycaffe's own helpers see them.

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> BlobVec:
        return BlobVec(self.blobs.values())

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._tops[layer]]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._bottoms[layer]]

    @property
    def inputs(self) -> list[str]:
        """Names of the tops of Input layers."""
        return list(self._inputs)

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads, in alphabetical order."""
        return list(self._outputs)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Layer name -> names of its tops."""
        return OrderedDict(zip(self._layer_names, self._tops))

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Layer name -> names of its bottoms."""
        return OrderedDict(zip(self._layer_names, self._bottoms))

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """Layer name -> layer."""
        return OrderedDict(zip(self._layer_names, self.layers))

    def _layer_index(self, name: str) -> int:
        if name not in self._layer_names:
            raise ValueError(f"no layer named {name!r}; the net has {', '.join(self._layer_names)}")
        return self._layer_names.index(name)

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Run the net (from layer `start` to layer `end`) and return {blob name: data} of its outputs and of `blobs`.

        Keyword arguments fill the input blobs, which must have their shape already: net.blobs[name].reshape(...).
        """
        first = self._layer_index(start) if start is not None else 0
        last = self._layer_index(end) if end is not None else None
        wanted = list(self._tops[last]) if last is not None else self.outputs
        if inputs:
            if set(inputs) != set(self._inputs):
                raise ValueError(
                    f"Input blob arguments do not match net inputs: got {sorted(inputs)}, need {self._inputs}."
                )
            for name, value in inputs.items():
                _fill(self.blobs[name], name, np.asarray(value))
        self.run_forward(first, last)
        return {name: self.blobs[name].data for name in dict.fromkeys([*wanted, *(blobs or ())])}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> dict[str, np.ndarray]:
        """Run backward (from layer `start` down to layer `end`) and return {blob name: diff} of the inputs and of `diffs`.

        Keyword arguments fill the diffs of output blobs first.
        """
        first = self._layer_index(start) if start is not None else None
        last = self._layer_index(end) if end is not None else 0
        wanted = list(self._bottoms[last]) if end is not None else self.inputs
        if tops:
            if set(tops) != set(self._outputs):
                raise ValueError(
                    f"Top diff arguments do not match net outputs: got {sorted(tops)}, need {self._outputs}."
                )
            for name, value in tops.items():
                array = np.asarray(value)
                if array.shape != self.blobs[name].shape:
                    raise ValueError(f"diff of {name!r} has shape {array.shape}, the blob {self.blobs[name].shape}")
                self.blobs[name].diff[...] = array
        self.run_backward(first, last)
        return {name: self.blobs[name].diff for name in dict.fromkeys([*wanted, *(diffs or ())])}

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, np.ndarray]:
        """Run any number of items through the net in batches of its size; returns {blob name: results of all items}."""
        results: dict[str, list[np.ndarray]] = {}
        for batch, real in self._batches(inputs):
            for name, value in self.forward(blobs=blobs, **batch).items():
                results.setdefault(name, []).extend(value[:real].copy())
        return {name: np.asarray(values) for name, values in results.items()}

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
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        counts = {len(a) for a in arrays.values()}
        if len(counts) != 1:
            raise ValueError(f"inputs need the same number of items, got { {n: len(a) for n, a in arrays.items()} }")
        count = counts.pop()
        name = next(iter(arrays))
        size = self.blobs[name].shape[0] if name in self.blobs else 1
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
