"""Layers: one class per type, registered by type name. Importing this package registers all built-in ones.

`caffe.layers.<Type>(...)` makes a layer of a network program (caffe.net_spec.layers), as in pycaffe.
"""

from __future__ import annotations

from typing import Any

from caffe.layers import (
    arrange,
    batch_norm,
    class_losses,
    classes,
    convolution,
    crop,
    data,
    elementwise,
    eltwise,
    hdf5,
    inner_product,
    inputs,
    losses,
    lrn,
    neuron,
    pooling,
    python_layer,
    recurrent,
    scale,
    select,
    softmax,
    window_data,
)

__all__ = [
    "arrange",
    "batch_norm",
    "class_losses",
    "classes",
    "convolution",
    "crop",
    "data",
    "elementwise",
    "eltwise",
    "hdf5",
    "inner_product",
    "inputs",
    "losses",
    "lrn",
    "neuron",
    "pooling",
    "python_layer",
    "recurrent",
    "scale",
    "select",
    "softmax",
    "window_data",
]


def __getattr__(name: str) -> Any:
    # Network programs write `from caffe import layers as L` and L.Convolution(...): layer types, which start with a capital.
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from caffe.net_spec import layers

    return getattr(layers, name)
