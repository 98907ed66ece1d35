"""The blobs of a MultiStageMeanfield layer in Caffe's model files."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.model_file import read_model, write_model

# What the published nets call the layer.
LAYER = "inference1"
# What its first blobs are: weights of the kernels, and compatibilities; each 1 x 1 x C x C, of untied iterations T x 1 x C x C.
MATRICES = ("spatial", "bilateral", "compatibility")


def read_matrices(path: str | os.PathLike[str], count: int | None = None, layer: str = LAYER) -> list[np.ndarray]:
    """The layer's blobs in a .caffemodel or .caffemodel.h5 as C x C matrices: spatial and bilateral weights, compatibility.

    count: how many there must be (3 in Caffe's own layer; None: any). Raises CaffeError if the file cannot be read, has no such
    layer, or its blobs are not so many 1 x 1 x C x C.
    """
    return _matrices(path, _blobs(path, layer), count, layer)


def read_parameters(
    path: str | os.PathLike[str], count: int | None = None, layer: str = LAYER
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The same matrices, those of further kernels last, and the logarithms of the bandwidths that the layer learned: theta_alpha,
    theta_beta, theta_gamma, then theta_alpha and theta_beta of each further kernel; None if it did not learn them.

    Raises CaffeError as read_matrices.
    """
    blobs = _blobs(path, layer)
    learned = blobs.pop() if blobs[-1].ndim == 1 else None
    return _matrices(path, blobs, count, layer), learned


def _blobs(path: str | os.PathLike[str], layer: str) -> list[np.ndarray]:
    layers = {found.name: found.blobs for found in read_model(path) if found.blobs}
    if layer not in layers:
        known = ", ".join(list(layers)[-8:]) or "none with weights"
        raise CaffeError(f"{os.fspath(path)}: no layer {layer!r} with weights; the last layers are {known}")
    return [np.asarray(blob) for blob in layers[layer]]


def _matrices(
    path: str | os.PathLike[str], blobs: Sequence[np.ndarray], count: int | None, layer: str
) -> list[np.ndarray]:
    shapes = [tuple(blob.shape) for blob in blobs]
    square = bool(shapes) and all(
        len(shape) > 1 and shape[-2:] == shapes[0][-2:] and shape[-1] == shape[-2] for shape in shapes
    )
    if not square or any(np.prod(shape[:-2]) != 1 for shape in shapes) or count not in (None, len(blobs)):
        raise CaffeError(
            f"{os.fspath(path)}: layer {layer!r} has blobs {shapes}, but {count or 'some'} of 1 x 1 x C x C are expected: another "
            "number of classes or of kernels, untied iterations, or learned bandwidths"
        )
    return [blob.reshape(shapes[0][-2:]) for blob in blobs]


def write_parameters(
    path: str | os.PathLike[str],
    matrices: Sequence[np.ndarray],
    log_thetas: np.ndarray | None = None,
    layer: str = LAYER,
) -> None:
    """Write what read_parameters gives as the blobs of such a layer, float32. Raises CaffeError if the file cannot be written."""
    net = caffe_pb2.NetParameter(name="crfasrnn")
    net.layer.add(name=layer, type="MultiStageMeanfield")
    blobs = [np.asarray(matrix, np.float32)[None, None] for matrix in matrices]
    write_model(path, net, [blobs + ([] if log_thetas is None else [np.asarray(log_thetas, np.float32)])])
