"""Damaged files: whatever the bytes, reading them gives a result or one CaffeError, in bounded memory.

CAFFE_FUZZ_EXAMPLES sets how many inputs each test makes (default 200, always the same ones; more are drawn at random).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from support.fuzz import SETTINGS, damaged, damaged_text
from support.reference_data import TESTS

import caffe
from caffe.data.datum import datum_image
from caffe.proto import caffe_pb2, model_file, solver_state, text
from caffe.solver import resume as progress
from caffe.solver.loss_window import LossWindow

pytestmark = pytest.mark.usefixtures("bounded_memory")

GOLDEN = TESTS / "golden"


def _corpus(*patterns: str) -> list[bytes]:
    found = [path.read_bytes() for pattern in patterns for path in sorted(GOLDEN.glob(pattern))]
    assert found
    return found


def _png(channels: int) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (9, 8, channels), np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


def _datums() -> list[bytes]:
    raw = caffe.io.array_to_datum(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), 1)
    floats = caffe.io.array_to_datum(np.arange(24, dtype=np.float64).reshape(2, 3, 4), 1)
    encoded = [caffe_pb2.Datum(encoded=True, data=data, label=1) for data in (_png(3), _png(1))]
    jpeg = cv2.imencode(".jpg", np.zeros((9, 8, 3), np.uint8))[1].tobytes()
    return [d.SerializeToString() for d in (raw, floats, *encoded, caffe_pb2.Datum(encoded=True, data=jpeg))]


def gives_a_result_or_a_caffe_error(read: Callable[[Path], object], place: Path, content: bytes) -> None:
    place.write_bytes(content)
    message = "read"
    try:
        read(place)
    except caffe.CaffeError as error:
        message = str(error)
    assert message.strip()
    assert len(message) < 5000


@SETTINGS
@given(content=damaged(_corpus("files/*.caffemodel")))
def test_damaged_models(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(model_file.read_model, place, content)


@SETTINGS
@given(content=damaged(_corpus("files/*.solverstate")))
def test_damaged_solver_states(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(solver_state.read_solver_state, place, content)


def _hdf5_models() -> list[bytes]:
    arrays = [
        [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.zeros(2, np.float32)],
        [],
        [np.ones((3, 5), np.float32)],
    ]
    return _written(
        lambda path: model_file.write_model_hdf5(path, ["conv", "relu", "a/b"], arrays),
        lambda path: model_file.write_model_hdf5(path, ["conv", "relu", "a/b"], arrays, gzip=4),
        suffix=".h5",
    )


def _states(suffix: str) -> list[bytes]:
    history = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(2, np.float32)]
    state = solver_state.SolverState(
        7, "net_iter_7.caffemodel", 1, history, b'{"processes":[{"nets":[[null]],"random":{}}]}'
    )
    return _written(lambda path: solver_state.write_solver_state(path, state), suffix=suffix)


def _written(*writers: Callable[[Path], object], suffix: str) -> list[bytes]:
    contents = []
    with tempfile.TemporaryDirectory() as folder:
        for write in writers:
            path = Path(folder) / f"file{suffix}"
            write(path)
            contents.append(path.read_bytes())
    return contents


@SETTINGS
@given(content=damaged(_hdf5_models()))
def test_damaged_hdf5_models(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(model_file.read_model, place, content)


@SETTINGS
@given(content=damaged(_states(".h5")))
def test_damaged_hdf5_solver_states(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(solver_state.read_solver_state, place.with_suffix(".h5"), content)


@SETTINGS
@given(content=damaged(_states("")))
def test_damaged_records_of_progress(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(solver_state.read_solver_state, place, content)


@SETTINGS
@given(content=damaged([b'{"processes":[{"nets":[[[3,null],null]],"random":{"caffe":"00"},"losses":[0,1.5,[1.5]]}]}']))
def test_damaged_progress(content: bytes) -> None:
    with suppress(caffe.CaffeError):
        progress.resume(content, "x.solverstate", [], LossWindow(2))


def _hdf5_data() -> list[bytes]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["data"] = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
            file.create_dataset("label", data=np.arange(4), chunks=(2,), compression="gzip")

    return _written(write, suffix=".h5")


@SETTINGS
@given(content=damaged(_hdf5_data()))
def test_damaged_hdf5_data(content: bytes, place: Path) -> None:
    source = place.with_suffix(".list")
    source.write_text(f"{place}\n")
    net = text.parse_net(
        f'layer {{ name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param {{ source: "{source}" batch_size: 3 }} }}'
    )
    gives_a_result_or_a_caffe_error(lambda _: caffe.Net(net, caffe.TRAIN).forward(), place, content)


@SETTINGS
@given(content=damaged(_corpus("files/*.binaryproto")))
def test_damaged_means(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(model_file.read_blob_proto, place, content)


@SETTINGS
@given(content=damaged(_datums()))
def test_damaged_datums(content: bytes) -> None:
    try:
        datum = caffe_pb2.Datum.FromString(content)
    except Exception:
        return  # protobuf's own exception, which the Data layer turns into one that names the entry
    with suppress(caffe.CaffeError):
        datum_image(datum, datum.encoded)


@SETTINGS
@given(content=damaged_text(_corpus("layers/*.prototxt", "extras/v*_in.prototxt")))
def test_damaged_net_definitions(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(text.read_net, place, content)


@SETTINGS
@given(content=damaged_text(_corpus("layers/*.prototxt")))
def test_nets_of_damaged_definitions(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(lambda path: caffe.Net(path, caffe.TRAIN), place, content)


@caffe.register_layer("FuzzedPermute")
class FuzzedPermute(caffe.Layer):
    """A layer with a message of its own, which text is rewritten for before protobuf parses it."""

    message = "message FuzzedPermuteParameter { repeated uint32 order = 1; optional string note = 2; }"

    def reshape(self, bottom: Sequence[caffe.Blob], top: Sequence[caffe.Blob]) -> None:
        top[0].reshape(len(self.layer_param.fuzzed_permute_param.order))


OWN_LAYERS = b"""
layer { name: "a" type: "FuzzedPermute" top: "a" fuzzed_permute_param { order: 1 note: "fuzzed_permute_param {" } }
layer { name: "b" fuzzed_permute_param: < order: [1, 2] > type: "FuzzedPermute" top: "b" }  # fuzzed_permute_param {
"""


@SETTINGS
@given(content=damaged_text([OWN_LAYERS]))
def test_damaged_definitions_of_layers_of_ones_own(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(lambda path: caffe.Net(path, caffe.TRAIN), place, content)


@SETTINGS
@given(content=damaged_text(_corpus("extras/solver_*.prototxt")))
def test_damaged_solver_definitions(content: bytes, place: Path) -> None:
    gives_a_result_or_a_caffe_error(text.read_solver, place, content)
