"""The nets of 2013, layers { layer { flat fields } bottom top }, as V1 nets."""

from __future__ import annotations

from typing import Any

from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2

logger = signed("upgrade_proto.cpp")

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
_CONV, _POOL, _IP, _LRN = "convolution_param", "pooling_param", "inner_product_param", "lrn_param"
_DATA, _IMAGES, _WINDOW = "data_param", "image_data_param", "window_data_param"
_WINDOW_ONLY = {"window_data": _WINDOW}

# V0 field -> (V1 field, {V0 layer type: V1 message that has it}); an empty dict: transform_param, whatever the type.
_FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", {"conv": _CONV, "innerproduct": _IP}),
    "biasterm": ("bias_term", {"conv": _CONV, "innerproduct": _IP}),
    "weight_filler": ("weight_filler", {"conv": _CONV, "innerproduct": _IP}),
    "bias_filler": ("bias_filler", {"conv": _CONV, "innerproduct": _IP}),
    "pad": ("pad", {"conv": _CONV, "pool": _POOL}),
    "kernelsize": ("kernel_size", {"conv": _CONV, "pool": _POOL}),
    "group": ("group", {"conv": _CONV}),
    "stride": ("stride", {"conv": _CONV, "pool": _POOL}),
    "pool": ("pool", {"pool": _POOL}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", {"lrn": _LRN}),
    "alpha": ("alpha", {"lrn": _LRN}),
    "beta": ("beta", {"lrn": _LRN}),
    "k": ("k", {"lrn": _LRN}),
    "source": (
        "source",
        {
            "data": _DATA,
            "hdf5_data": "hdf5_data_param",
            "images": _IMAGES,
            "window_data": _WINDOW,
            "infogain_loss": "infogain_loss_param",
        },
    ),
    "scale": ("scale", {}),
    "meanfile": ("mean_file", {}),
    "cropsize": ("crop_size", {}),
    "mirror": ("mirror", {}),
    "batchsize": (
        "batch_size",
        {"data": _DATA, "hdf5_data": "hdf5_data_param", "images": _IMAGES, "window_data": _WINDOW},
    ),
    "rand_skip": ("rand_skip", {"data": _DATA, "images": _IMAGES}),
    "shuffle_images": ("shuffle", {"images": _IMAGES}),
    "new_height": ("new_height", {"images": _IMAGES}),
    "new_width": ("new_width", {"images": _IMAGES}),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOW_ONLY),
    "det_bg_threshold": ("bg_threshold", _WINDOW_ONLY),
    "det_fg_fraction": ("fg_fraction", _WINDOW_ONLY),
    "det_context_pad": ("context_pad", _WINDOW_ONLY),
    "det_crop_mode": ("crop_mode", _WINDOW_ONLY),
}


def layer_type(v0_type: str) -> int:
    """The V1LayerParameter.LayerType of a V0 type name. Raises CaffeError for an unknown one."""
    if v0_type not in _TYPES:
        raise CaffeError(f"Unknown layer name: {v0_type}")
    return int(caffe_pb2.V1LayerParameter.LayerType.Value(_TYPES[v0_type]))


def upgrade_v0_net(net: Any) -> bool:
    """Turn the V0 layers of a caffe_pb2.NetParameter, in place, into V1 layers; padding layers become their reader's pad.

    Returns False, with errors in the log, if a layer has fields that its type does not know. Raises CaffeError for an unknown
    layer type and for a padding layer that cannot be merged.
    """
    complete = True
    upgraded = []
    for old in _merge_padding(net):
        if not old.HasField("layer"):
            upgraded.append(old)
            continue
        new = caffe_pb2.V1LayerParameter(bottom=old.bottom, top=old.top)
        complete &= _upgrade_layer(old.layer, new)
        upgraded.append(new)
    del net.layers[:]
    net.layers.extend(upgraded)
    return complete


def _merge_padding(net: Any) -> list[Any]:
    """The layers without those of type "padding", whose `pad` goes to the convolution or pooling that reads them."""
    kept: list[Any] = []
    source: dict[str, Any] = dict.fromkeys(net.input)
    for original in net.layers:
        layer = caffe_pb2.V1LayerParameter()
        layer.CopyFrom(original)
        v0 = layer.layer
        if v0.type != "padding":
            kept.append(layer)
        for index, name in enumerate(layer.bottom):
            if name not in source:
                raise CaffeError(f"Unknown blob input {name} to layer {v0.name or layer.name}")
            padding = source[name]
            if padding is None or padding.layer.type != "padding":
                continue
            if v0.type not in ("conv", "pool"):
                raise CaffeError(
                    f"Padding layer input to non-convolutional / non-pooling layer type {v0.type} (layer {v0.name})"
                )
            if len(layer.bottom) != 1 or len(padding.bottom) != 1 or len(padding.top) != 1:
                raise CaffeError(
                    f"Padding layer {padding.layer.name} and its reader {v0.name} must take a single blob as input"
                )
            v0.pad = padding.layer.pad
            layer.bottom[index] = padding.bottom[0]
        for name in layer.top:
            source[name] = layer
    return kept


def _upgrade_layer(old: Any, new: Any) -> bool:
    complete = True
    new.name = old.name
    if old.HasField("type"):
        new.type = layer_type(old.type)
    new.blobs.extend(old.blobs)
    new.blobs_lr.extend(old.blobs_lr)
    new.weight_decay.extend(old.weight_decay)
    if old.HasField("hdf5_output_param"):
        if old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(old.hdf5_output_param)
        else:
            logger.error("Unknown parameter hdf5_output_param for layer type %s", old.type)
            complete = False
    for field, (target, owners) in _FIELDS.items():
        if not old.HasField(field):
            continue
        owner = owners.get(old.type) if owners else "transform_param"
        if owner is None:
            logger.error("Unknown parameter %s for layer type %s", field, old.type)
            complete = False
            continue
        message, value = getattr(new, owner), getattr(old, field)
        if hasattr(value, "CopyFrom"):
            getattr(message, target).CopyFrom(value)
        elif hasattr(getattr(message, target), "append"):
            getattr(message, target).append(value)
        else:
            setattr(message, target, value)
    return complete
