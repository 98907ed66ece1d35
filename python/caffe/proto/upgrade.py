"""Bringing nets and solvers of every Caffe since 2013, and of the forks whose layers are installed, to the newest form."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError, FileError
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2, layer_messages, plugins
from caffe.proto.upgrade_v0 import upgrade_v0_net

logger = signed("upgrade_proto.cpp")

# The field by which a net remembers that its Crop layers align themselves; it stays inside this program.
MARKER = "caffe.NetParameter.crop_aligns"

_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "CROP": "Crop",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
_SOLVERS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
# Of V1LayerParameter, what is not simply copied to the field of the same name.
_V1_SPECIAL = frozenset(("layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"))
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
_DATA_PARAMS = {
    caffe_pb2.V1LayerParameter.DATA: "data_param",
    caffe_pb2.V1LayerParameter.IMAGE_DATA: "image_data_param",
    caffe_pb2.V1LayerParameter.WINDOW_DATA: "window_data_param",
}


def layer_type(v1_type: int) -> str:
    """The name of a V1 layer type's number; empty for a number that only some fork knows."""
    value = caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values_by_number.get(v1_type)
    if value is None:
        return ""
    return _TYPES[value.name] if value.name in _TYPES else layer_messages.old_type(value.name)


def is_repeated(value: Any) -> bool:
    """Whether a field's value is a list; said by the value, because protobuf renamed the descriptor's answer."""
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def was_v1(net: Any) -> bool:
    """Whether Crop layers without crop_param align themselves: the net came from `layers`, or a fork's layer says so."""
    return bool(net.crop_aligns)


def upgrade_net(net: Any, source: str) -> None:
    """Upgrade a caffe_pb2.NetParameter in place: V0 and V1 layers, data transformation, input fields, BatchNorm, and what the
    classes of layers from outside say of their own older spellings (layer_messages).

    `source` is the file's name for the log, which has Caffe's words. Sets net.crop_aligns (see was_v1). Raises CaffeError where
    the net cannot be understood.
    """
    if len(net.layers):
        net.crop_aligns = True
    if any(layer.HasField("layer") for layer in net.layers):
        _announce(source, "V0LayerParameter")
        try:
            complete = upgrade_v0_net(net)
        except CaffeError as error:
            raise FileError(f"{source}: {error}") from None
        if complete:
            logger.info("Successfully upgraded file specified using deprecated V0LayerParameter")
        else:
            logger.error(
                "Warning: had one or more problems upgrading V0NetParameter to NetParameter (see above); continuing anyway."
            )
        logger.warning(
            "Note that future Caffe releases will not support V0NetParameter; use ./build/tools/upgrade_net_proto_text for "
            "prototxt and ./build/tools/upgrade_net_proto_binary for model weights upgrade this and any other net protos to the "
            "new format."
        )
    if any(_old_transform_fields(layer) for layer in net.layers):
        _announce(source, "transformation parameters")
        _upgrade_transform(net)
        logger.info("Successfully upgraded file specified using deprecated data transformation parameters.")
        logger.warning(
            "Note that future Caffe releases will only support transform_param messages for transformation fields."
        )
    if len(net.layers):
        _announce(source, "V1LayerParameter")
        if _upgrade_v1_net(net):
            logger.info("Successfully upgraded file specified using deprecated V1LayerParameter")
        else:
            logger.error("Warning: had one or more problems upgrading V1LayerParameter (see above); continuing anyway.")
    if len(net.input):
        _announce(source, "input fields")
        _upgrade_input(net, source)
        logger.info("Successfully upgraded file specified using deprecated input fields.")
        logger.warning("Note that future Caffe releases will only support input layers and not input fields.")
    if any(_old_batch_norm(layer) for layer in net.layer):
        logger.info("Attempting to upgrade batch norm layers using deprecated params: %s", source)
        _upgrade_batch_norm(net)
        logger.info("Successfully upgraded batch norm layers using deprecated params.")
    for layer in net.layer:
        _upgrade_own(layer, net, source)


def upgrade_solver(solver: Any, source: str) -> None:
    """Upgrade a caffe_pb2.SolverParameter in place: solver_type to type, and the nets inside it.

    Raises CaffeError if it has both solver_type and type, as genuine Caffe does.
    """
    if solver.HasField("solver_type"):
        logger.info(
            "Attempting to upgrade input file specified using deprecated 'solver_type' field (enum)': %s", source
        )
        if solver.HasField("type"):
            raise FileError(
                f"{source}: Failed to upgrade solver: old solver_type field (enum) and new type field (string) cannot be both "
                "specified in solver proto text."
            )
        solver.type = _SOLVERS[solver.solver_type]
        solver.ClearField("solver_type")
        logger.info(
            "Successfully upgraded file specified using deprecated 'solver_type' field (enum) to 'type' field (string)."
        )
        logger.warning("Note that future Caffe releases will only support 'type' field (string) for a solver's type.")
    for field in ("net_param", "train_net_param"):
        if solver.HasField(field):
            upgrade_net(getattr(solver, field), source)
    for net in solver.test_net_param:
        upgrade_net(net, source)


def complete_snapshot_prefix(solver: Any, source: str) -> None:
    """Give a SolverParameter read from file `source` the snapshot_prefix that Caffe would use."""
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = os.path.splitext(source)[0]
        logger.info("snapshot_prefix was not specified and is set to %s", solver.snapshot_prefix)
    elif Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, Path(source).stem)
        logger.info("snapshot_prefix was a directory and is replaced to %s", solver.snapshot_prefix)


def _announce(source: str, old: str) -> None:
    logger.info("Attempting to upgrade input file specified using deprecated %s: %s", old, source)


# ---------------------------------------------------------------------------------------------------------------- V1 to V2


def _old_transform_fields(layer: Any) -> list[str]:
    """The fields of a V1 data layer that belong into transform_param since 2014."""
    name = _DATA_PARAMS.get(layer.type)
    if name is None or not layer.HasField(name):
        return []
    return [field for field in _TRANSFORM_FIELDS if getattr(layer, name).HasField(field)]


def _upgrade_transform(net: Any) -> None:
    for layer in net.layers:
        for field in _old_transform_fields(layer):
            old = getattr(layer, _DATA_PARAMS[layer.type])
            setattr(layer.transform_param, field, getattr(old, field))
            old.ClearField(field)


def _upgrade_v1_net(net: Any) -> bool:
    """Turn `layers` into `layer`; False, and an error in the log, if something had to be left out."""
    complete = True
    if len(net.layer):
        logger.error(
            "Input NetParameter to be upgraded already specifies 'layer' fields; these will be ignored for the upgrade. "
            "Left out: %s. Write all layers in one form, 'layer' or 'layers'.",
            ", ".join(layer.name for layer in net.layer),
        )
        complete = False
        del net.layer[:]
    for old in net.layers:
        new = net.layer.add()
        kind = layer_type(old.type)
        if kind:
            new.type = kind
        for field, value in old.ListFields():
            if field.name in _V1_SPECIAL:
                continue
            if is_repeated(value):
                getattr(new, field.name).extend(value)
            elif field.message_type is not None:
                getattr(new, field.name).CopyFrom(value)
            else:
                setattr(new, field.name, value)
        settings: tuple[tuple[str, Any, Callable[[Any], Any]], ...] = (
            ("name", old.param, str),
            ("share_mode", old.blob_share_mode, int),
            ("lr_mult", old.blobs_lr, float),
            ("decay_mult", old.weight_decay, float),
        )
        for field_name, values, convert in settings:
            for index, value in enumerate(values):
                while len(new.param) <= index:
                    new.param.add()
                setattr(new.param[index], field_name, convert(value))
        if old.HasField("layer"):
            logger.error("Input NetParameter has V0 layer -- ignoring.")
            complete = False
    del net.layers[:]
    return complete


# ---------------------------------------------------------------------------------------------------------------- V2


def _upgrade_input(net: Any, source: str) -> None:
    """Turn input, input_shape and input_dim into one layer "input" in front."""
    count = len(net.input)
    if len(net.input_shape):
        if len(net.input_shape) != count:
            raise FileError(
                f"{source}: {count} input fields need {count} input_shape fields, found {len(net.input_shape)}"
            )
        shapes = [list(shape.dim) for shape in net.input_shape]
    else:
        dims = list(net.input_dim)
        if len(dims) != 4 * count:
            raise FileError(
                f"{source}: Incorrect input blob dimension specifications: {count} input fields need {4 * count} input_dim fields, "
                f"found {len(dims)}"
            )
        shapes = [dims[4 * i : 4 * i + 4] for i in range(count)]
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=list(net.input))
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    net.layer.insert(0, layer)


def _old_batch_norm(layer: Any) -> bool:
    """Before 2016-10 a BatchNorm layer had to say itself that its three blobs are no solver's business."""
    return layer.type == "BatchNorm" and len(layer.param) == 3


def _upgrade_batch_norm(net: Any) -> None:
    for layer in net.layer:
        if _old_batch_norm(layer):
            for param in layer.param:
                param.lr_mult = 0
                param.decay_mult = 0


def _upgrade_own(layer: Any, net: Any, source: str) -> None:
    """Let a layer from outside upgrade itself.

    Nets for genuine Caffe may say in the type where to find the layer, "MyLayer of libmine.so (...)", which Caffe prints behind
    "Unknown layer type: " where it is missing.
    """
    kind = layer.type.partition(" of lib")[0]
    upgrade = layer_messages.upgrade_of(kind)
    if upgrade is not None or kind in plugins.entry_points_by_type():
        layer.type = kind
    if upgrade is not None:
        upgrade(layer, net, source)
