"""Solver states against protobuf's own parser, h5py and the files that genuine Caffe wrote."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.caffe.model_files import TINY, all_files, as_array, same
from support.reference_data import FILES

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, solver_state
from caffe.proto.model_file import read_model
from caffe.proto.solver_state import SolverState


@pytest.mark.parametrize("path", all_files("*.solverstate"))
def test_states(path: Path, tmp_path: Path) -> None:
    state, truth = solver_state.read_solver_state(path), caffe_pb2.SolverState.FromString(path.read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (truth.iter, truth.learned_net, truth.current_step)
    assert len(state.history) == len(truth.history) > 0
    assert all(same(a, as_array(b)) for a, b in zip(state.history, truth.history))
    solver_state.write_solver_state(tmp_path / "out.solverstate", state)
    if not truth.history[0].HasField("num"):
        assert (tmp_path / "out.solverstate").read_bytes() == path.read_bytes()
    solver_state.write_solver_state(tmp_path / "out.solverstate.h5", state)
    again = solver_state.read_solver_state(tmp_path / "out.solverstate.h5")
    assert (again.iter, again.learned_net, again.current_step) == (state.iter, state.learned_net, state.current_step)
    assert all(map(same, again.history, state.history))


@pytest.mark.parametrize("path", all_files("*.solverstate.h5"))
def test_hdf5_states(path: Path, tmp_path: Path) -> None:
    state, out = solver_state.read_solver_state(path), tmp_path / "out.h5"
    solver_state.write_solver_state(out, state)
    with h5py.File(path) as caffes, h5py.File(out) as ours:
        for name in ("iter", "current_step", "learned_net"):
            assert caffes[name].dtype == ours[name].dtype
            assert caffes[name].shape == ours[name].shape
            assert np.array_equal(caffes[name][()], ours[name][()])
        assert sorted(caffes["history"]) == sorted(ours["history"])
        assert all(same(caffes["history"][key][()], ours["history"][key][()]) for key in caffes["history"])
        assert all(same(caffes["history"][str(i)][()], array) for i, array in enumerate(state.history))


def test_wrong_states(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="not a solver state"):
        solver_state.read_solver_state(FILES / "mean.binaryproto")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(CaffeError, match="has no number 'iter'"):
        solver_state.read_solver_state(tmp_path / "empty.h5")
    for weights in (TINY, FILES / "tiny_sgd_hdf5_iter_10.caffemodel.h5"):
        with pytest.raises(CaffeError, match=r"holds a model's weights, not a solver's state.*-weights"):
            solver_state.read_solver_state(weights)
    with pytest.raises(CaffeError, match="looks like a solver state"):
        read_model(FILES / "tiny_sgd_hdf5_iter_10.solverstate.h5")
    content = (FILES / "tiny_sgd_binaryproto_iter_10.solverstate").read_bytes()
    (tmp_path / "cut").write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(tmp_path / "cut", length)
        with suppress(CaffeError):
            assert solver_state.read_solver_state(tmp_path / "cut").iter == 10
    state = SolverState(-1, "", 2**31 - 1, [])
    solver_state.write_solver_state(tmp_path / "s", state)
    assert solver_state.read_solver_state(tmp_path / "s") == state


def test_a_cut_hdf5_file_is_an_error(tmp_path: Path) -> None:
    content, path = (FILES / "tiny_sgd_hdf5_iter_10.solverstate.h5").read_bytes(), tmp_path / "cut.h5"
    path.write_bytes(content)
    for length in reversed(range(0, len(content), 29)):
        os.truncate(path, length)
        with pytest.raises(CaffeError, match=r"cut\.h5"):
            solver_state.read_solver_state(path)


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_progress_is_kept_and_bounded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"state{suffix}"
    state = SolverState(3, "net.caffemodel", 1, [np.ones((2, 3), np.float32)], b'{"processes": []}')
    solver_state.write_solver_state(path, state)
    assert solver_state.read_solver_state(path).progress == state.progress
    state.progress = bytes(solver_state.MAX_PROGRESS + 1)
    solver_state.write_solver_state(path, state)
    with pytest.raises(CaffeError, match=str(solver_state.MAX_PROGRESS)):
        solver_state.read_solver_state(path)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(content)
    with suppress(CaffeError):
        solver_state.read_solver_state(path)


def _own(file: h5py.File) -> None:
    file["iter"], file["current_step"] = np.array([3], np.int32), np.array([0], np.int32)
    file["learned_net"] = np.bytes_("net.caffemodel")
    file["progress"] = np.frombuffer(b"{}", np.uint8)
    file.create_group("history")["0"] = np.ones(3, np.float32)


@pytest.mark.parametrize("field", ["iter", "current_step", "learned_net", "progress", "history/0", "history"])
@pytest.mark.parametrize("way", ["external storage", "external link", "soft link", "virtual"])
def test_nothing_is_read_through_a_state(field: str, way: str, tmp_path: Path) -> None:
    """Neither another file's content, which messages and later files would show, nor a pipe, which would be waited for."""
    secret, other, path = tmp_path / "secret", tmp_path / "other.h5", tmp_path / "a.solverstate.h5"
    secret.write_bytes(b"secret" * 100)
    with h5py.File(other, "w") as file:
        _own(file)
    with h5py.File(path, "w") as file:
        _own(file)
        shape, dtype = (file[field].shape, file[field].dtype) if field != "history" else ((1,), np.dtype("f4"))
        del file[field]
        if way == "external storage":
            file.create_dataset(field, shape or (1,), dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif way == "external link":
            file[field] = h5py.ExternalLink(str(other), field)
        elif way == "soft link":
            file["elsewhere"] = np.ones(1)
            file[field] = h5py.SoftLink("/elsewhere")
        else:
            layout = h5py.VirtualLayout((1,), dtype)
            layout[0] = h5py.VirtualSource(str(other), field, (1,))[0]
            file.create_virtual_dataset(field, layout)
    with pytest.raises(
        CaffeError, match=rf"a\.solverstate\.h5: .*{field}.* (lies in another file|is a link to elsewhere)"
    ):
        solver_state.read_solver_state(path)
