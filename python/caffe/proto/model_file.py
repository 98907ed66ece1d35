"""Model files (.caffemodel and HDF5, every version), solver states and mean files: arrays in, arrays out.

Numbers never become Python objects: the protobuf files are walked in their wire format and arrays are taken from there whole.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from caffe.errors import CaffeError
from caffe.files import atomic_path
from caffe.proto import caffe_pb2, hdf5_file, upgrade, upgrade_v0
from caffe.proto.wire import (
    BYTES,
    VARINT,
    DamagedError,
    Encoded,
    Walker,
    encode_blob,
    encode_bytes,
    encode_tag,
    encode_varint,
)

# protobuf's own limit for one message, in every language.
_MAX_PROTOBUF = 2**31 - 1

# Where a solver state carries SolverState.progress: a field, or a dataset, that genuine Caffe does not know and passes over.
_PROGRESS, _PROGRESS_NAME = 10001, "progress"
# JSON in memory takes up to 30 times its length; this keeps a hostile file's below 1 GB.
MAX_PROGRESS = 1 << 24


@dataclass
class LayerBlobs:
    """One layer of a model file: its parameters, float32 arrays of any number of axes (4 in files of 2014 and before).

    `type` is the newest name of the layer's type; empty in HDF5 files and for types of a fork that nobody else knows.
    """

    name: str
    type: str
    blobs: list[np.ndarray] = field(default_factory=list)


@dataclass
class SolverState:
    """What a solver needs to go on: iterations done, the model file beside it, the step of the learning rate, and its history,
    float32 arrays in the order of the learnable parameters (Adam, AdaDelta: all first ones, then all second ones).

    `progress` is ours (caffe.progress): empty in files of genuine Caffe, which passes over it in ours."""

    iter: int
    learned_net: str
    current_step: int
    history: list[np.ndarray] = field(default_factory=list)
    progress: bytes = b""


def read_model(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """Read the parameters of a .caffemodel (V0, V1, V2) or HDF5 model; the content decides which it is, not the name.

    Layers without parameters are included, in the file's order. Raises CaffeError, which names the file and the layer, for
    anything missing, truncated, damaged or without layers.
    """
    name = os.fspath(path)
    with _mapped(path) as buffer:
        if not _is_hdf5(buffer):
            return _read_protobuf(buffer, name)
    with hdf5_file.opened(path) as file:
        layers = [LayerBlobs(layer, "", arrays) for layer, arrays in hdf5_file.read_layers(file, name)]
    if not layers:
        raise CaffeError(f"{name}: holds no layers")
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
    _write(path, model)


def write_model_hdf5(
    path: str | os.PathLike[str],
    layer_names: Sequence[str],
    blobs: Sequence[Sequence[np.ndarray]],
    *,
    diffs: Sequence[Sequence[np.ndarray]] | None = None,
    dtype: DTypeLike = np.float32,
    gzip: int | None = None,
) -> None:
    """Write the parameters as /data/<layer>/<i>, as Caffe does, and `diffs` as /diff/<layer>/<i>; layers without parameters
    become empty groups.

    dtype float16 and gzip (0 to 9) make small files; read_model reads them, genuine Caffe need not. Written at once or not at
    all; raises CaffeError if it cannot be, or if two layers with parameters have the same name.
    """
    if len(blobs) != len(layer_names):
        raise CaffeError(f"{os.fspath(path)}: {len(layer_names)} layers, but parameters for {len(blobs)}")
    with _writing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        for name, arrays in (("data", blobs), ("diff", diffs)):
            if arrays is not None:
                hdf5_file.write_layers(file.create_group(name), layer_names, arrays, dtype, gzip)


def read_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """Read a .solverstate, or HDF5 if the name ends in ".h5" (as Caffe decides). Raises CaffeError like read_model."""
    name = os.fspath(path)
    if name.endswith(".h5"):
        with _mapped(path):  # its errors for missing and empty files say more than HDF5's
            pass
        with hdf5_file.opened(path) as file:
            return SolverState(
                hdf5_file.read_scalar(file, "iter", name),
                hdf5_file.read_string(file, "learned_net"),
                hdf5_file.read_scalar(file, "current_step", name),
                hdf5_file.read_history(file, name),
                hdf5_file.read_bytes(file, _PROGRESS_NAME, MAX_PROGRESS, name),
            )
    state = SolverState(0, "", 0)
    with _mapped(path) as buffer, _explained(name, buffer, "solver state"):
        walker, position = Walker(buffer, lambda done: _forget(buffer, done)), 0
        counted = False
        while position < len(buffer):
            number, wire, start, stop = walker.field(position, len(buffer))
            if number == 1 and wire == VARINT:
                state.iter, counted = walker.signed(start, stop), True
            elif number == 2 and wire == BYTES:
                state.learned_net = walker.text(start, stop)
            elif number == 3 and wire == BYTES:
                state.history.append(_blob(walker, start, stop, f"history {len(state.history)}"))
            elif number == 4 and wire == VARINT:
                state.current_step = walker.signed(start, stop)
            elif number == _PROGRESS and wire == BYTES:
                if stop - start > MAX_PROGRESS:
                    raise DamagedError(f"field {number} has {stop - start} bytes, {MAX_PROGRESS} is the most")
                state.progress = bytes(buffer[start:stop])
            elif number <= 4:
                raise DamagedError(f"field {number} has wire type {wire}")
            position = stop
        if not counted:
            raise DamagedError("it has no iteration number")
    return state


def write_solver_state(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a .solverstate, or HDF5 if the name ends in ".h5". Written at once or not at all; raises CaffeError."""
    if os.fspath(path).endswith(".h5"):
        with _writing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
            file.create_dataset("iter", data=np.array([state.iter], np.int32))
            file.create_dataset("current_step", data=np.array([state.current_step], np.int32))
            # HDF5's C interface wants room for the closing zero.
            learned_net = state.learned_net.encode()
            file.create_dataset("learned_net", data=np.array(learned_net, f"S{len(learned_net) + 1}"))
            history = file.create_group("history")
            for index, array in enumerate(state.history):
                hdf5_file.write_array(history, str(index), array)
            if state.progress:
                file.create_dataset(_PROGRESS_NAME, data=np.frombuffer(state.progress, np.uint8))
        return
    encoded = Encoded()
    encoded.add(encode_tag(1, VARINT), encode_varint(state.iter), encode_bytes(2, state.learned_net.encode()))
    for array in state.history:
        encoded.add_message(3, encode_blob(np.asarray(array)))
    encoded.add(encode_tag(4, VARINT), encode_varint(state.current_step))
    if state.progress:
        encoded.add(encode_bytes(_PROGRESS, state.progress))
    _write(path, encoded)


def read_blob_proto(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a file that is one BlobProto (mean.binaryproto): float32, 4 axes in files of Caffe's tools. Raises CaffeError."""
    name = os.fspath(path)
    with _mapped(path) as buffer, _explained(name, buffer, "BlobProto file"):
        return _blob(Walker(buffer), 0, len(buffer), "the array")


def write_blob_proto(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as one BlobProto; 4 axes in the old spelling, which every Caffe's mean_file option reads."""
    array = np.asarray(array)
    _write(path, encode_blob(array, legacy=array.ndim == 4))


# ------------------------------------------------------------------------------------------------------------------ reading


def _read_protobuf(buffer: memoryview, name: str) -> list[LayerBlobs]:
    layers: list[LayerBlobs] = []
    with _explained(name, buffer, "caffemodel"):
        walker, position = Walker(buffer, lambda done: _forget(buffer, done)), 0
        while position < len(buffer):
            number, wire, start, stop = walker.field(position, len(buffer))
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
    return [_blob(walker, start, end, f"layer '{layer}', blob {i}") for i, (start, end) in enumerate(places)]


def _blob(walker: Walker, start: int, end: int, what: str) -> np.ndarray:
    try:
        return walker.blob(start, end)
    except DamagedError as error:
        raise DamagedError(f"{what}: {error}") from error


@contextmanager
def _mapped(path: str | os.PathLike[str]) -> Iterator[memoryview]:
    """The file's bytes, mapped into memory and not read before they are needed."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CaffeError(f"{name}: is not a regular file")
            if status.st_size == 0:
                raise CaffeError(f"{name}: is empty")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise CaffeError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise CaffeError(f"{name}: cannot be read: {error}") from error
    buffer = memoryview(content)
    try:
        yield buffer
    finally:
        # An exception on its way keeps views of the mapping alive; it goes when they do.
        with suppress(BufferError):
            buffer.release()
            content.close()


def _is_hdf5(buffer: memoryview) -> bool:
    """HDF5's signature stands at the start, or at 512, 1024, 2048 ... behind somebody else's data."""
    offset = 0
    while offset + 8 <= len(buffer):
        if buffer[offset : offset + 8] == b"\x89HDF\r\n\x1a\n":
            return True
        offset = max(512, 2 * offset)
    return False


def _forget(buffer: memoryview, position: int) -> None:
    """Let go of the mapped pages before `position`; they would count as this process's memory beside the arrays."""
    content = buffer.obj
    length = position - position % mmap.PAGESIZE
    if length and isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED, 0, length)


@contextmanager
def _explained(name: str, buffer: memoryview, kind: str) -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise CaffeError(f"{name}: {_guess(bytes(buffer[:512])) or f'not a {kind}, or damaged: {error}'}") from None


def _guess(head: bytes) -> str:
    """What a file that is no model probably is, from its first bytes."""
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (git lfs pull fetches it)"
    if b"<html" in head.lower() or b"<!doctype html" in head.lower():
        return "is a web page, not the file itself (a failed download?)"
    if all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head):
        return "is a text file, not a binary one (a prototxt?)"
    return ""


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


def _write(path: str | os.PathLike[str], message: Encoded) -> None:
    if message.size > _MAX_PROTOBUF:
        raise CaffeError(
            f"{os.fspath(path)}: {message.size} bytes are too many for a protobuf file; write HDF5 instead"
        )
    with _writing(path) as temporary, open(temporary, "wb") as file:
        for piece in message.pieces():
            file.write(piece)


@contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A temporary path that becomes `path` if all goes well; what the disk refuses becomes a CaffeError."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except CaffeError as error:
        raise CaffeError(f"{os.fspath(path)}: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise CaffeError(f"{os.fspath(path)}: cannot be written: {error}") from error
