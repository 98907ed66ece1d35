"""Model files (.caffemodel and HDF5, every version) and mean files: arrays in, arrays out.

Numbers never become Python objects: the protobuf files are walked in their wire format and arrays are taken from there whole.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from caffe.errors import CaffeError, FileError
from caffe.proto import caffe_pb2, hdf5_file, upgrade, upgrade_v0
from caffe.proto.binary_file import explained, forget, mapped, read_blob, write, writing
from caffe.proto.wire import BYTES, VARINT, DamagedError, Encoded, Walker, encode_blob, encode_bytes


@dataclass
class LayerBlobs:
    """One layer of a model file: its parameters, float32 arrays of any number of axes (4 in files of 2014 and before).

    `type` is the newest name of the layer's type; empty in HDF5 files and for types of a fork that nobody else knows.
    """

    name: str
    type: str
    blobs: list[np.ndarray] = field(default_factory=list)


def read_model(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """Read the parameters of a .caffemodel (V0, V1, V2) or HDF5 model; the content decides which it is, not the name.

    Layers without parameters are included, in the file's order. Raises CaffeError, which names the file and the layer, for
    anything missing, truncated, damaged or without layers.
    """
    name = os.fspath(path)
    with mapped(path) as buffer:
        if not _is_hdf5(buffer):
            return _read_protobuf(buffer, name)
    with hdf5_file.opened(path) as file:
        layers = [LayerBlobs(layer, "", arrays) for layer, arrays in hdf5_file.read_layers(file, name)]
    if not layers:
        raise FileError(f"{name}: holds no layers")
    return layers


def write_model(
    path: str | os.PathLike[str],
    net: Any,
    blobs: Sequence[Sequence[np.ndarray]],
    diffs: Sequence[Sequence[np.ndarray]] | None = None,
) -> None:
    """Write a .caffemodel as Caffe does: the net's name and each layer's definition with its parameters as float32.

    net: caffe_pb2.NetParameter, already upgraded; blobs: the arrays of each of net.layer, in order (blobs inside `net` are
    ignored); diffs: their gradients, left out by default. Written at once or not at all. Raises CaffeError if the file cannot
    be written or would pass protobuf's 2 GB.
    """
    if len(blobs) != len(net.layer):
        raise CaffeError(f"{os.fspath(path)}: {len(net.layer)} layers, but parameters for {len(blobs)}")
    model = Encoded()
    if net.HasField("name"):
        model.add(encode_bytes(1, net.name.encode()))
    for index, (layer, arrays) in enumerate(zip(net.layer, blobs)):
        model.add_message(100, _encode_layer(layer, arrays, diffs[index] if diffs else ()))
    write(path, model)


def write_model_hdf5(
    path: str | os.PathLike[str],
    layer_names: Sequence[str],
    blobs: Sequence[Sequence[np.ndarray]],
    *,
    diffs: Sequence[Sequence[np.ndarray]] | None = None,
    dtype: DTypeLike | None = np.float32,
    gzip: int | None = None,
) -> None:
    """Write the parameters as /data/<layer>/<i>, as Caffe does, and `diffs` as /diff/<layer>/<i>; layers without parameters
    become empty groups.

    dtype float16 (None: as the arrays are) and gzip (0 to 9) make small files; read_model reads them, genuine Caffe need not.
    Written at once or not at all; raises CaffeError if it cannot be, or if two layers with parameters have the same name.
    """
    if len(blobs) != len(layer_names):
        raise CaffeError(f"{os.fspath(path)}: {len(layer_names)} layers, but parameters for {len(blobs)}")
    with writing(path) as temporary, hdf5_file.written(temporary) as file:
        for name, arrays in (("data", blobs), ("diff", diffs)):
            if arrays is not None:
                hdf5_file.write_layers(file.create_group(name), layer_names, arrays, dtype, gzip)


def read_blob_proto(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a file that is one BlobProto (mean.binaryproto): float32, 4 axes in files of Caffe's tools. Raises CaffeError."""
    name = os.fspath(path)
    with mapped(path) as buffer, explained(name, buffer, "BlobProto file"):
        return read_blob(Walker(buffer), 0, len(buffer), "the array")


def write_blob_proto(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as one BlobProto; 4 axes in the old spelling, which every Caffe's mean_file option reads."""
    array = np.asarray(array)
    write(path, encode_blob(array, legacy=array.ndim == 4))


# ------------------------------------------------------------------------------------------------------------------ reading


def _read_protobuf(buffer: memoryview, name: str) -> list[LayerBlobs]:
    layers: list[LayerBlobs] = []
    with explained(name, buffer, "caffemodel"):
        walker, position = Walker(buffer, lambda done: forget(buffer, done)), 0
        while position < len(buffer):
            number, wire, start, stop = walker.field(position, len(buffer))
            if position == 0 and (number, wire) == (1, VARINT):
                raise DamagedError("it begins as a solver state or a mean file does; weights are in the .caffemodel")
            if number in (1, 2, 100) and wire != BYTES:
                raise DamagedError(f"field {number} at byte {position} has wire type {wire}")
            if number == 100:
                layers.append(_layer(walker, start, stop))
            elif number == 2:
                layers.append(_v1_layer(walker, start, stop))
            position = stop
        if not layers:
            raise DamagedError("it holds no layers")
    return layers


def _layer(walker: Walker, start: int, end: int, blobs: int = 7) -> LayerBlobs:
    """A LayerParameter, or with blobs = 50 a V0LayerParameter, which has name and type at the same numbers."""
    layer = LayerBlobs("", "")
    arrays: list[tuple[int, int]] = []
    position = start
    while position < end:
        number, wire, begin, stop = walker.field(position, end)
        if wire == BYTES and number == 1:
            layer.name = walker.text(begin, stop)
        elif wire == BYTES and number == 2:
            layer.type = walker.text(begin, stop)
        elif wire == BYTES and number == blobs:
            arrays.append((begin, stop))
        position = stop
    # After the loop, so that messages have the layer's name wherever the file keeps it.
    layer.blobs = _blobs(walker, arrays, layer.name)
    return layer


def _v1_layer(walker: Walker, start: int, end: int) -> LayerBlobs:
    layer = LayerBlobs("", "")
    arrays: list[tuple[int, int]] = []
    position = start
    while position < end:
        number, wire, begin, stop = walker.field(position, end)
        if wire == BYTES and number == 1:
            v0 = _layer(walker, begin, stop, blobs=50)
            try:
                v0.type = upgrade.layer_type(upgrade_v0.layer_type(v0.type))
            except CaffeError:
                v0.type = ""  # "padding", or a type of an unknown fork: its weights still load by name
            layer = v0
        elif wire == BYTES and number == 4:
            layer.name = walker.text(begin, stop)
        elif wire == VARINT and number == 5:
            layer.type = upgrade.layer_type(walker.signed(begin, stop))
        elif wire == BYTES and number == 6:
            arrays.append((begin, stop))
        position = stop
    layer.blobs += _blobs(walker, arrays, layer.name)
    return layer


def _blobs(walker: Walker, places: list[tuple[int, int]], layer: str) -> list[np.ndarray]:
    return [read_blob(walker, start, end, f"layer '{layer}', blob {i}") for i, (start, end) in enumerate(places)]


def _is_hdf5(buffer: memoryview) -> bool:
    """HDF5's signature stands at the start, or at 512, 1024, 2048 ... behind somebody else's data."""
    offset = 0
    while offset + 8 <= len(buffer):
        if buffer[offset : offset + 8] == b"\x89HDF\r\n\x1a\n":
            return True
        offset = max(512, 2 * offset)
    return False


# ------------------------------------------------------------------------------------------------------------------ writing


def _encode_layer(layer: Any, arrays: Sequence[np.ndarray], diffs: Sequence[np.ndarray]) -> Encoded:
    """The definition with the arrays as field 7, between the fields before and after it, as protobuf orders them."""
    definition = caffe_pb2.LayerParameter()
    definition.CopyFrom(layer)
    definition.ClearField("blobs")
    content = definition.SerializeToString(deterministic=True)
    walker, position = Walker(memoryview(content)), 0
    while position < len(content):
        number, _, _, stop = walker.field(position, len(content))
        if number > 7:
            break
        position = stop
    encoded = Encoded()
    encoded.add(content[:position])
    for array, diff in zip_longest(arrays, diffs):
        encoded.add_message(7, encode_blob(np.asarray(array), diff=diff))
    encoded.add(content[position:])
    return encoded
