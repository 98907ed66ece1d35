"""Weights in files of any form: VGG-16 from Caffe, NumPy and PyTorch, and any model's in half precision."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.inputs.arrays import read_npz, write_npz
from caffe.proto.model_file import LayerBlobs, read_model, write_model_hdf5
from crfasrnn.networks import deeplab, state_dicts

_LARGEST = np.finfo(np.float16).max


def read_weights(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """The layers with weights in a file: .npz (read_arrays), .pth or .pt (state_dicts.read_state_dict), else a Caffe model file.

    All are for BGR minus the mean, under Caffe's names. Raises CaffeError if the file cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return read_arrays(path)
    if suffix in state_dicts.SUFFIXES:
        return state_dicts.read_state_dict(path)
    return [layer for layer in read_model(path) if layer.blobs]


def read_arrays(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """Layers from an .npz with <layer>_w (O x I x H x W) and <layer>_b: VGG-16's conv1_1 ... conv5_3, for BGR minus the mean, or
    those of DeepLabv3 on MobileNetV2 as it is published, with its batch normalisation folded, for RGB from -1 to 1.

    Weights and biases become float32. Raises CaffeError if the file is not of that kind.
    """
    name = os.fspath(path)
    arrays = {key: _weights(array, key, name) for key, array in read_npz(name).items()}
    layers = [key.removesuffix("_w") for key in arrays if key.endswith("_w")]
    if not layers or len(arrays) != 2 * len(layers) or any(f"{layer}_b" not in arrays for layer in layers):
        raise FileError(f"{name!r} does not hold pairs of arrays <layer>_w and <layer>_b")
    pairs = [LayerBlobs(layer, "Convolution", [arrays[f"{layer}_w"], arrays[f"{layer}_b"]]) for layer in layers]
    return deeplab.from_published(pairs)


def _weights(array: np.ndarray, key: str, name: str) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise CaffeError(f"cannot read weights {name!r}: {key!r} holds no numbers")
    return array.astype(np.float32)


def convert_trunk(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Write the convolutions conv1_1 ... conv5_3 in a file that read_weights reads; returns their number.

    target: .caffemodel.h5 or .h5, or .npz with <layer>_w and <layer>_b as read_arrays reads it. The classifier behind them, if
    the file has one, is left out: it fits few networks. Of DeepLabv3 on MobileNetV2 all layers are written, to .h5 alone. Raises
    CaffeError, before anything is read for another ending.
    """
    _check_ending(target, ".h5", ".npz")
    layers = read_weights(source)
    if deeplab.is_whole(layers):
        _check_ending(target, ".h5")
    else:
        layers = [layer for layer in layers if layer.name.startswith("conv")]
    if not layers:
        raise FileError(f"{os.fspath(source)!r} has no layer conv1_1 ... conv5_3: it is not VGG-16")
    if Path(target).suffix.lower() == ".npz":
        arrays = {f"{layer.name}_{what}": blob for layer in layers for what, blob in zip("wb", layer.blobs)}
        write_npz(target, arrays)
    else:
        write_model_hdf5(target, [layer.name for layer in layers], [layer.blobs for layer in layers])
    return len(layers)


def _check_ending(target: str | os.PathLike[str], *endings: str) -> None:
    if Path(target).suffix.lower() not in endings:
        raise CaffeError(f"{os.fspath(target)!r}: the name of the file to write must end in {' or '.join(endings)}")


def export_half(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write the parameters of `source`, any Caffe model file, as float16 to a compressed .caffemodel.h5; vectors, the biases, which
    weigh next to nothing, as float32.

    Raises CaffeError if float16 cannot hold one of them, the source cannot be read, or the target does not end in .h5.
    """
    _check_ending(target, ".h5")
    layers = [layer for layer in read_model(source) if layer.blobs]
    for layer in layers:
        for index, blob in enumerate(layer.blobs):
            if not np.all(np.abs(blob) <= _LARGEST):
                raise FileError(
                    f"{os.fspath(source)}: layer {layer.name!r}, blob {index}, holds values beyond float16 (or not numbers)"
                )
    stored = [[blob if blob.ndim == 1 else blob.astype(np.float16) for blob in layer.blobs] for layer in layers]
    write_model_hdf5(target, [layer.name for layer in layers], stored, dtype=None, gzip=9)
