"""Layers: one class per type, registered by type name. Importing this package registers all built-in ones."""

from caffe.layers import (
    arrange,
    batch_norm,
    classes,
    convolution,
    crop,
    elementwise,
    eltwise,
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
    "elementwise",
    "eltwise",
    "inner_product",
    "inputs",
    "lrn",
    "neuron",
    "pooling",
    "python_layer",
    "scale",
    "softmax",
]
