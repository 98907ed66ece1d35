"""Copying parameters into a net by layer name, and what to do about those that got none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe import mode
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.base import Layer
from caffe.layers.fillers import bilinear_kernel
from caffe.logs.glog import signed
from caffe.net.node import Node
from caffe.net.parameters import Parameters
from caffe.proto.model_file import LayerBlobs

logger = signed("net.cpp")


def copy_weights(
    nodes: Sequence[Node], parameters: Parameters, source: list[LayerBlobs], path: str, net_name: str
) -> list[str]:
    """Copy by layer name; returns the layers with parameters that the source lacks, but for those that learn nothing and are what
    their filler says (fixed upsampling). `path` and `net_name` are for messages.

    Everything is checked before anything is written. Raises CaffeError, in Caffe's words, for a wrong number of blobs or a wrong
    shape, and where mode.insists_on_weights() for a source of which no layer with parameters exists in the net.
    """
    copies: list[tuple[Blob, np.ndarray]] = []
    matched: set[str] = set()
    params, names = parameters.by_layer, {node.name for node in nodes}
    for layer in source:
        if layer.name not in params:
            if layer.name not in names:
                logger.info("Ignoring source layer %s", layer.name)
            elif layer.blobs:
                raise CaffeError(f"{path}: Incompatible number of blobs for layer {layer.name}")
            continue
        if layer.name in matched:
            continue
        target = params[layer.name]
        if not layer.blobs and _owns_nothing(target, parameters):
            # HDF5 files of genuine Caffe hold shared parameters with their owner alone.
            matched.add(layer.name)
            continue
        if len(target) != len(layer.blobs):
            raise CaffeError(
                f"{path}: Incompatible number of blobs for layer {layer.name} (source {len(layer.blobs)}, target {len(target)})"
            )
        matched.add(layer.name)
        for k, (blob, array) in enumerate(zip(target, layer.blobs)):
            if not _same_shape(blob.shape, array.shape):
                dims = "".join(f"{d} " for d in array.shape)
                raise CaffeError(
                    f"{path}: Cannot copy param {k} weights from layer '{layer.name}'; shape mismatch.  Source param shape is "
                    f"{dims}({array.size}); target param shape is {blob.shape_string()}. To learn this layer's parameters from "
                    "scratch rather than copying from a saved net, rename the layer."
                )
            copies.append((blob, array))
    if params and not matched and mode.insists_on_weights():
        offered = [layer.name for layer in source if layer.blobs]
        raise CaffeError(
            f"{path}: no layer of this file is in the net '{net_name}', so no weights were copied. The file has "
            f"{', '.join(offered[:8]) or 'no layer with weights'}{' ...' if len(offered) > 8 else ''}; the net expects "
            f"{', '.join(list(params)[:8])}{' ...' if len(params) > 8 else ''}. Set {mode.GO_ON}=1 in the "
            "environment to go on with initial values, as Caffe does."
        )
    for blob, array in copies:
        blob.data[...] = array.reshape(blob.shape)
    matched.update(node.name for node in nodes if _is_fixed(node.layer))
    # What shares all its parameters gets them with their owner, which stands here if the source lacks it.
    return [name for name in params if name not in matched and not _owns_nothing(params[name], parameters)]


def _owns_nothing(blobs: Sequence[Blob], parameters: Parameters) -> bool:
    return all(blob in parameters.shared for blob in blobs)


def _is_fixed(layer: Layer) -> bool:
    rates = [param.lr_mult for param in layer.layer_param.param]
    convolution = layer.layer_param.convolution_param
    by_filler = convolution.HasField("weight_filler") and convolution.weight_filler.type in ("constant", "bilinear")
    return by_filler and len(rates) == len(layer.blobs) > 0 and not any(rates)


def _same_shape(target: tuple[int, ...], source: tuple[int, ...]) -> bool:
    """Equal, or a legacy 4-d shape that is the target's with leading ones."""
    if len(source) == 4 and len(target) < 4:
        return source == (1,) * (4 - len(target)) + target
    return target == source


def report_unmatched(missing: list[str], path: str) -> None:
    """Warn once about all layers that kept their initial values."""
    if missing:
        logger.warning("%s has no weights for: %s. They keep their initial values.", path, ", ".join(missing))


def diagonal_bilinear(layers: Sequence[Layer]) -> None:
    """Give every all-zero Deconvolution bilinear weights that upsample each class by itself, with a warning.

    Caffe's own bilinear filler would fill every pair of channels, and the sum of all classes would come out for each.
    """
    for layer in layers:
        if not layer.transposes_windows or not layer.blobs or len(layer.blobs[0].shape) != 4:
            continue
        weight = layer.blobs[0]
        if bool(weight.tensor.any()):
            continue
        inputs, outputs, height, width = weight.shape
        values = np.zeros(weight.shape, np.float32)
        kernel = bilinear_kernel(height, width).numpy()
        if outputs == 1:
            values[:, 0] = kernel
        else:
            for c in range(min(inputs, outputs)):
                values[c, c] = kernel
        weight.data[...] = values
        logger.warning(
            "Layer %s (Deconvolution) had all-zero weights: set to bilinear upsampling of each channel.", layer.name
        )
