"""Snapshots: the newest by number, those that are kept, and the result."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffe
from crfasrnn.training import snapshots

NET = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1 } } }
layer { name: "score" type: "InnerProduct" bottom: "data" top: "score" inner_product_param {
  num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "Reduction" bottom: "score" top: "loss" loss_weight: 1 }
"""


def solver(folder: Path) -> caffe.SGDSolver:
    """A solver of three weights whose snapshots lie in the folder."""
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(
        f'net: "{folder / "net.prototxt"}" base_lr: 0.1 lr_policy: "fixed" max_iter: 20 snapshot_prefix: "{folder / "snapshot"}"'
    )
    return caffe.SGDSolver(str(folder / "solver.prototxt"))


@pytest.fixture
def trained(tmp_path: Path) -> caffe.SGDSolver:
    """One with snapshots of iterations 2, 9 and 10."""
    made = solver(tmp_path)
    for steps in (2, 7, 1):
        made.step(steps)
        made.snapshot()
    return made


def numbers(folder: Path) -> list[int]:
    return [int(path.stem.rpartition("_")[2]) for path in snapshots.snapshots(folder)]


def test_the_newest_is_that_of_the_largest_number(trained: caffe.SGDSolver, tmp_path: Path) -> None:
    (tmp_path / "snapshot_iter_x.solverstate").write_bytes(b"")
    assert numbers(tmp_path) == [10, 9, 2]


def test_going_on_passes_over_what_is_damaged(trained: caffe.SGDSolver, tmp_path: Path) -> None:
    newest = tmp_path / "snapshot_iter_10.solverstate"
    newest.write_bytes(newest.read_bytes()[:20])
    again = solver(tmp_path)
    assert snapshots.resume(again, tmp_path)
    assert again.iter == 9
    for path in snapshots.snapshots(tmp_path):
        path.unlink()
    assert not snapshots.resume(solver(tmp_path), tmp_path)


def test_two_are_kept_with_their_weights(trained: caffe.SGDSolver, tmp_path: Path) -> None:
    snapshots.prune(tmp_path)
    assert numbers(tmp_path) == [10, 9]
    assert {path.stem for path in tmp_path.glob("*.caffemodel")} == {"snapshot_iter_9", "snapshot_iter_10"}


def test_the_result_is_the_last_ones_weights(trained: caffe.SGDSolver, tmp_path: Path) -> None:
    expected = (tmp_path / "snapshot_iter_10.caffemodel").read_bytes()
    snapshots.finish(trained, tmp_path / "final.caffemodel")
    assert (tmp_path / "final.caffemodel").read_bytes() == expected
    assert numbers(tmp_path) == [10]
    kept = snapshots.set_aside(tmp_path / "final.caffemodel", 10)
    assert kept == tmp_path / "final_iter_10.caffemodel"
    assert kept.read_bytes() == expected
    again = solver(tmp_path)
    assert snapshots.resume(again, tmp_path)
    assert again.iter == 10
