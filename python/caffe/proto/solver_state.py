"""Solver states, in protobuf and in HDF5: what a solver needs to go on where it stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.proto import hdf5_file, model_file
from caffe.proto.binary_file import explained, forget, mapped, read_blob, write, writing
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

# Where a solver state carries SolverState.progress: a field, or a dataset, that genuine Caffe does not know and passes over.
_PROGRESS, _PROGRESS_NAME = 10001, "progress"
# JSON in memory takes up to 30 times its length; this keeps a hostile file's below 1 GB.
MAX_PROGRESS = 1 << 24


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


def read_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """Read a .solverstate, or HDF5 if the name ends in ".h5" (as Caffe decides).

    Raises CaffeError like read_model, which says so where the file is a model.
    """
    try:
        return _read(path)
    except FileError as error:
        if not _holds_weights(path):
            raise
        raise FileError(
            f"{os.fspath(path)}: holds a model's weights, not a solver's state. To start from these weights, give them to -weights "
            "or net.copy_from; to resume training, give the .solverstate that was written with them."
        ) from error


def _holds_weights(path: str | os.PathLike[str]) -> bool:
    try:
        return any(layer.blobs for layer in model_file.read_model(path))
    except CaffeError:
        return False


def _read(path: str | os.PathLike[str]) -> SolverState:
    name = os.fspath(path)
    if name.endswith(".h5"):
        with mapped(path):  # its errors for missing and empty files say more than HDF5's
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
    with mapped(path) as buffer, explained(name, buffer, "solver state"):
        walker, position = Walker(buffer, lambda done: forget(buffer, done)), 0
        counted = False
        while position < len(buffer):
            number, wire, start, stop = walker.field(position, len(buffer))
            if number == 1 and wire == VARINT:
                state.iter, counted = walker.signed(start, stop), True
            elif number == 2 and wire == BYTES:
                state.learned_net = walker.text(start, stop)
            elif number == 3 and wire == BYTES:
                state.history.append(read_blob(walker, start, stop, f"history {len(state.history)}"))
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
        with writing(path) as temporary, hdf5_file.written(temporary) as file:
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
    write(path, encoded)
