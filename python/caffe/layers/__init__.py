"""Layers: one class per type, registered by type name. Importing this package registers all built-in ones.

The package also answers to pycaffe's `from caffe import layers as L`: L.Convolution(...) builds a layer of a NetSpec.
"""

from __future__ import annotations

from typing import Any

from caffe.layers import (
    arrange,
    batch_norm,
    classes,
    convolution,
    crop,
    data,
    elementwise,
    eltwise,
    hdf5,
    inner_product,
    inputs,
    lrn,
    neuron,
    pooling,
    python_layer,
    scale,
    softmax,
)

__all__ = [
    "arrange",
    "batch_norm",
    "classes",
    "convolution",
    "crop",
    "data",
    "elementwise",
    "eltwise",
    "hdf5",
    "inner_product",
    "inputs",
    "lrn",
    "neuron",
    "pooling",
    "python_layer",
    "scale",
    "softmax",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from caffe import net_spec

    return getattr(net_spec.layers, name)
