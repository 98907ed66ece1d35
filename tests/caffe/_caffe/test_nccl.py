"""Processes that a script starts by itself, as BVLC's python/train.py does, train like one process with the whole batch."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe

NET = """
layer {{ name: "data" type: "HDF5Data" top: "x" top: "y" hdf5_data_param {{ source: "{folder}/rows.txt" batch_size: {batch} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {{ num_output: 1 }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }}"""
SOLVER = 'net: "{folder}/{name}.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 snapshot_prefix: "{folder}/s"'


def write_solver(folder: Path, name: str, batch: int) -> str:
    (folder / f"{name}.prototxt").write_text(NET.format(folder=folder, batch=batch))
    path = folder / f"{name}_solver.prototxt"
    path.write_text(SOLVER.format(folder=folder, name=name))
    return str(path)


def solve(proto: str, weights: str, uid: bytes, rank: int, target: str) -> None:
    """What a process does, in the calls of python/train.py."""
    caffe.set_mode_cpu()
    caffe.set_solver_count(2)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(proto)
    if rank == 0:
        solver.net.copy_from(weights)
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    np.save(f"{target}{rank}.npy", solver.net.params["ip"][0].data)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with eight rows of data."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"] = random.standard_normal((8, 3)).astype(np.float32)
        file["y"] = random.standard_normal((8, 1)).astype(np.float32)
    (tmp_path / "rows.txt").write_text(f"{tmp_path}/rows.h5\n")
    return tmp_path


def test_two_processes_are_one_with_twice_the_batch(rows: Path) -> None:
    alone = caffe.SGDSolver(write_solver(rows, "alone", 4))
    alone.net.params["ip"][0].data[...] = [[1, -2, 3]]
    alone.net.save(str(rows / "start.caffemodel"))
    alone.step(5)

    uid = caffe.NCCL.new_uid()
    assert isinstance(uid, bytes)
    proto, context = write_solver(rows, "pair", 2), multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=solve, args=(proto, str(rows / "start.caffemodel"), uid, rank, str(rows / "ip")))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    for rank in range(2):
        np.testing.assert_allclose(np.load(rows / f"ip{rank}.npy"), alone.net.params["ip"][0].data, rtol=1e-5)
    assert not os.path.exists(uid)


def test_alone_nothing_is_joined_and_wrong_uids_are_refused(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = caffe.SGDSolver(write_solver(rows, "alone", 4))
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    assert nccl() is None
    monkeypatch.setattr("caffe.parallel._solver_count", 2)
    with pytest.raises(caffe.CaffeError, match=r"NCCL\.new_uid"):
        caffe.NCCL(solver, "not a uid")  # type: ignore[arg-type]
