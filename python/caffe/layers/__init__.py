"""Layers: one class per type, registered by type name. Importing this package registers all built-in ones.

`caffe.layers.<Type>(...)` makes a layer of a network program (caffe.net_spec.layers), as in pycaffe.
"""

from __future__ import annotations

from typing import Any

from caffe.layers import (
    accuracy,
    activation,
    argmax,
    batch_norm,
    batch_reindex,
    class_losses,
    convolution,
    crop,
    data,
    eltwise,
    filter,
    hdf5,
    im2col,
    inner_product,
    inputs,
    losses,
    lrn,
    pooling,
    python_layer,
    recurrent,
    reduction,
    scale,
    shape,
    softmax,
    window_data,
)

__all__ = [
    "accuracy",
    "activation",
    "argmax",
    "batch_norm",
    "batch_reindex",
    "class_losses",
    "convolution",
    "crop",
    "data",
    "eltwise",
    "filter",
    "hdf5",
    "im2col",
    "inner_product",
    "inputs",
    "losses",
    "lrn",
    "pooling",
    "python_layer",
    "recurrent",
    "reduction",
    "scale",
    "shape",
    "softmax",
    "window_data",
]


def __getattr__(name: str) -> Any:
    # Network programs write `from caffe import layers as L` and L.Convolution(...).
    from caffe.layers.registry import layer_type_list

    if not name[:1].isupper() and (name.startswith("_") or name not in layer_type_list()):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from caffe.net_spec import layers

    return getattr(layers, name)
