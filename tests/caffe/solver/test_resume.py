"""Resuming: a run that was killed, at any moment and as often as one likes, ends with the weights of one that never was."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import lmdb
import numpy as np
import pytest
from support.warm import python

import caffe
from caffe.io import array_to_datum
from caffe.proto import caffe_pb2, model_file, solver_state

# Everything that remembers: a database entered at random, shuffled lists and rows, random crops, dropout, noise, an LSTM's state, a
# user's layer that counts and draws from the generators of Python, NumPy and PyTorch.
NET = """
layer { name: "a" type: "Data" top: "a" top: "label" transform_param { crop_size: 4 mirror: true scale: 0.01 }
  data_param { source: "images" batch_size: 3 rand_skip: 5 } include { phase: TRAIN } }
layer { name: "a" type: "Data" top: "a" top: "label" include { phase: TEST } transform_param { crop_size: 4 scale: 0.01 }
  data_param { source: "images" batch_size: 2 } }
layer { name: "b" type: "ImageData" top: "b" top: "b_label" transform_param { crop_size: 4 mirror: true scale: 0.01 }
  image_data_param { source: "list.txt" batch_size: 3 shuffle: true rand_skip: 3 } include { phase: TRAIN } }
layer { name: "c" type: "HDF5Data" top: "c" hdf5_data_param { source: "files.txt" batch_size: 3 shuffle: true }
  include { phase: TRAIN } }
layer { name: "own" type: "Python" top: "own" python_param { module: "own_layer" layer: "Counting" } include { phase: TRAIN } }
layer { name: "noise" type: "DummyData" top: "noise" dummy_data_param { shape { dim: 3 dim: 3 dim: 4 dim: 4 }
  data_filler { type: "gaussian" std: 0.1 } } include { phase: TRAIN } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" bottom: "c" bottom: "own" bottom: "noise" top: "sum"
  include { phase: TRAIN } }
layer { name: "sum" type: "Power" bottom: "a" top: "sum" include { phase: TEST } }
layer { name: "silence" type: "Silence" bottom: "b_label" include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "sum" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param { dropout_ratio: 0.4 } }
layer { name: "row" type: "Reshape" bottom: "conv" top: "row" reshape_param { shape { dim: -1 dim: 1 dim: 16 } } }
layer { name: "ones" type: "DummyData" top: "cont" dummy_data_param { shape { dim: 3 dim: 1 } data_filler { value: 1 } }
  include { phase: TRAIN } }
layer { name: "ones" type: "DummyData" top: "cont" dummy_data_param { shape { dim: 2 dim: 1 } data_filler { value: 1 } }
  include { phase: TEST } }
layer { name: "lstm" type: "LSTM" bottom: "row" bottom: "cont" top: "lstm"
  recurrent_param { num_output: 5 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "score" type: "InnerProduct" bottom: "lstm" top: "score"
  inner_product_param { num_output: 3 axis: 2 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "flat" type: "Reshape" bottom: "score" top: "flat" reshape_param { shape { dim: -1 dim: 3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "multistep" stepvalue: 15 stepvalue: 37 gamma: 0.5 momentum: 0.9 weight_decay: 0.001
type: "{type}" average_loss: 7 test_iter: 2 test_interval: 9 max_iter: {iterations} display: 1 snapshot: {snapshot}
snapshot_prefix: "{prefix}" snapshot_format: {format} solver_mode: CPU random_seed: 5
"""
OWN_LAYER = """
import random
import numpy as np
import torch
import caffe

class Counting(caffe.Layer):
    def setup(self, bottom, top):
        self.count = 0
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
    def reshape(self, bottom, top):
        top[0].reshape(3, 3, 4, 4)
    def forward(self, bottom, top):
        self.count += 1
        drawn = random.random() + np.random.normal(size=top[0].shape) + float(torch.rand(()))
        top[0].data[...] = 0.001 * self.count + 0.1 * drawn
    def snapshot_state(self):
        return {"count": self.count}
    def restore_state(self, state):
        self.count = state["count"]
"""
LAST = 160


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small images in a database, as files and as rows of two HDF5 files, and the net that reads them all."""
    rng = np.random.default_rng(0)
    with lmdb.open(str(tmp_path / "images"), map_size=1 << 22) as database, database.begin(write=True) as transaction:
        for k in range(11):
            image = rng.integers(0, 256, (3, 6, 7), dtype=np.uint8)
            transaction.put(b"%04d" % k, array_to_datum(image, k % 3).SerializeToString())
            cv2.imwrite(str(tmp_path / f"{k}.png"), rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{k}.png {k % 3}\n" for k in range(11)))
    for k, rows in enumerate((5, 8)):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file["c"] = rng.normal(size=(rows, 3, 4, 4)).astype(np.float32)
    (tmp_path / "files.txt").write_text("0.h5\n1.h5\n")
    (tmp_path / "own_layer.py").write_text(OWN_LAYER)
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_layer", raising=False)
    return tmp_path


def write_solver(
    prefix: str, iterations: int = LAST, snapshot: int = 2, kind: str = "SGD", suffix: str = "BINARYPROTO"
) -> str:
    name = f"{prefix}_solver.prototxt"
    Path(name).write_text(
        SOLVER.format(prefix=prefix, iterations=iterations, snapshot=snapshot, type=kind, format=suffix)
    )
    return name


def command(solver: str, *more: str) -> list[str]:
    return [python(), "-m", "caffe", "train", "-solver", solver, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def newest_state(prefix: str) -> Path | None:
    """The solver state of the highest iteration, as a user looks for it."""
    states = Path().glob(f"{prefix}_iter_*.solverstate")
    return max(states, key=lambda path: int(re.findall(r"\d+", path.name)[-1]), default=None)


def resuming(solver: str, prefix: str) -> list[str]:
    """The command that goes on from the newest solver state, or starts where there is none."""
    state = newest_state(prefix)
    return command(solver, "-snapshot", str(state)) if state else command(solver)


def run(arguments: list[str]) -> str:
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def run_and_kill(arguments: list[str], lines: int) -> str:
    """Kill it wherever it is, computing or writing a file, when so many lines about its training have been read."""
    log = ""
    with subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            log += line
            lines -= "Iteration" in line or "Snapshotting" in line
            if lines <= 0:
                break
        process.kill()
        process.communicate()
    return log


def losses(log: str) -> dict[str, str]:
    """Iteration -> the displayed loss, of the last time that the log shows it."""
    return dict(re.findall(r"Iteration (\d+) \(.*\), loss = (\S+)", log))


def scores(log: str) -> dict[str, str]:
    """Iteration -> the tested loss, of the last time that the log shows it."""
    return dict(re.findall(r"Iteration (\d+), Testing net.*\n.*Test net output #0: loss = (\S+)", log))


def assert_same_ends(one: str, other: str, suffix: str = "", last: int = LAST) -> None:
    models = [model_file.read_model(f"{prefix}_iter_{last}.caffemodel{suffix}") for prefix in (one, other)]
    compared = 0
    for mine, theirs in zip(*models, strict=True):
        for a, b in zip(mine.blobs, theirs.blobs, strict=True):
            np.testing.assert_array_equal(a, b)
            compared += 1
    assert compared == 7
    states = [solver_state.read_solver_state(f"{prefix}_iter_{last}.solverstate{suffix}") for prefix in (one, other)]
    for a, b in zip(states[0].history, states[1].history, strict=True):
        np.testing.assert_array_equal(a, b)
    assert states[0].progress == states[1].progress
    assert states[0].current_step == states[1].current_step


def test_killed_again_and_again(workplace: Path) -> None:
    expected = run(command(write_solver("whole")))
    solver = write_solver("killed", snapshot=1)
    moments = random.Random(0)
    log = ""
    for _ in range(5):
        log += run_and_kill(resuming(solver, "killed"), lines=moments.randrange(1, 90))
    state = newest_state("killed")
    assert state is not None, "it was never left alone until its first snapshot"
    assert solver_state.read_solver_state(state).iter < LAST, "it finished before it was killed"
    log += run(resuming(solver, "killed"))
    assert_same_ends("whole", "killed")
    assert losses(log) == losses(expected)
    assert scores(log) == scores(expected)
    assert len(scores(log)) > 10


@pytest.mark.usefixtures("compute")
@pytest.mark.parametrize(("kind", "suffix"), [("Adam", ""), ("Nesterov", ".h5")])
def test_two_halves_are_the_whole(workplace: Path, kind: str, suffix: str) -> None:
    """Of which each goes more than once through all images."""
    form = "HDF5" if suffix else "BINARYPROTO"
    whole = caffe.get_solver(write_solver("whole", 12, 6, kind, form))
    whole.solve()
    second = caffe.get_solver(write_solver("second", 12, 6, kind, form))
    second.restore(f"whole_iter_6.solverstate{suffix}")
    second.solve()
    assert_same_ends("whole", "second", suffix, 12)


WRITING = """
import sys
from caffe.files import atomic_path

with atomic_path(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print(flush=True)
    sys.stdin.read()
"""


def test_what_killed_snapshots_left_is_removed_by_the_next(workplace: Path) -> None:
    def write(target: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITING, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    solver = caffe.get_solver(write_solver("state"))
    with write("state_iter_8.caffemodel") as living:
        killed = [write(target) for target in ("state_iter_7.caffemodel", "state_iter_7.solverstate.h5", "other.npy")]
        for process in killed:
            process.kill()
            process.communicate()
        Path(".state_iter_notes").touch()
        hidden = set(Path().glob(".*"))
        assert len(hidden) == 5
        solver.snapshot()
        left = set(Path().glob(".*"))
        assert sorted(path.name.partition(".unfinished")[0] for path in hidden - left) == [
            ".other",
            ".state_iter_7",
            ".state_iter_7.solverstate",
        ]
        living.communicate()
    assert Path("state_iter_8.caffemodel").read_bytes() == b"half"
    assert Path("state_iter_0.solverstate").exists()
    assert len(left - set(Path().glob(".*"))) == 1


def test_genuine_caffe_passes_over_what_it_does_not_know(workplace: Path) -> None:
    solver = caffe.get_solver(write_solver("state"))
    solver.step(2)
    content = Path("state_iter_2.solverstate").read_bytes()
    state = caffe_pb2.SolverState.FromString(content)
    assert (state.iter, state.learned_net, state.current_step) == (2, "state_iter_2.caffemodel", 0)
    for blob, history in zip(state.history, solver.history, strict=True):
        np.testing.assert_array_equal(np.array(blob.data, np.float32).reshape(blob.shape.dim), history.data)
    # Kept, as protobuf's parsers keep unknown fields.
    assert caffe_pb2.SolverState.FromString(state.SerializeToString()) == state
    Path("again.solverstate").write_bytes(state.SerializeToString())
    assert solver_state.read_solver_state("again.solverstate").progress.startswith(b'{"processes":[{')


def rewritten(change: Callable[[Any], None]) -> str:
    """A solver state whose record was changed by hand."""
    state = solver_state.read_solver_state("state_iter_2.solverstate")
    record = json.loads(state.progress)
    change(record)
    solver_state.write_solver_state("changed.solverstate", replace(state, progress=json.dumps(record).encode()))
    return "changed.solverstate"


def own(record: Any) -> Any:
    return record["processes"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("processes"),
        lambda record: record.update(processes=3),
        lambda record: record.update(processes=[3]),
        lambda record: own(record).pop("random"),
        lambda record: own(record).update(nets=[7, 8]),
        lambda record: own(record).update(losses=[0, "x", []]),
        lambda record: own(record)["random"].update(caffe="00"),
        lambda record: own(record)["random"].update(torch="zz"),
        lambda record: own(record)["random"].update(python=[3, [1, 2], None]),
        lambda record: own(record)["random"].update(python=None),
        # NumPy itself takes this, and then reads outside of its memory.
        lambda record: own(record)["random"]["numpy"].__setitem__(1, 10**6),
        lambda record: own(record)["random"]["numpy"].__setitem__(0, [1]),
    ],
)
def test_a_damaged_record_is_one_error(workplace: Path, change: Callable[[Any], None]) -> None:
    solver = caffe.get_solver(write_solver("state"))
    solver.step(2)
    with pytest.raises(caffe.CaffeError, match=r"changed\.solverstate: .*(damaged|not a state of a random stream)"):
        solver.restore(rewritten(change))


@pytest.mark.parametrize(
    ("layer", "state", "words"),
    [
        ("a", ["ffff", None], "no entry 'ffff'"),
        ("a", [7, None], "no entry 7"),
        ("a", "x", "no reading state"),
        ("b", [[99, None], None], "no line 99"),
        ("b", [[0, [3, [], None]], None], "not a state of a random stream"),
        ("c", [5, 0, None, None], "no file 5"),
        ("c", [0, 0, None, None], "not a state of a random stream"),
        ("lstm", [[[1, 2]], [[3, 4]]], "other outputs"),
        ("lstm", [["x"]], "no state of a recurrent layer"),
    ],
)
def test_a_state_that_does_not_fit_is_a_warning(
    workplace: Path, caplog: pytest.LogCaptureFixture, layer: str, state: Any, words: str
) -> None:
    solver = caffe.get_solver(write_solver("state"))
    solver.step(2)
    index = solver.net._layer_names.index(layer)
    path = rewritten(lambda record: own(record)["nets"][0].__setitem__(index, state))
    with caplog.at_level("WARNING", "caffe"):
        solver.restore(path)
    assert words in caplog.text
    assert "cannot go on reading where the snapshot was taken" in caplog.text
    solver.step(2)


def test_a_hostile_record_stays_small(workplace: Path) -> None:
    path = "large.solverstate"
    solver_state.write_solver_state(
        path, solver_state.SolverState(1, "", 0, [], b"[" * (solver_state.MAX_PROGRESS + 1))
    )
    with pytest.raises(caffe.CaffeError, match="is the most"):
        solver_state.read_solver_state(path)
    solver = caffe.get_solver(write_solver("state"))
    solver.step(2)
    state = solver_state.read_solver_state("state_iter_2.solverstate")
    solver_state.write_solver_state("deep.solverstate", replace(state, progress=b"[" * 10**6))
    with pytest.raises(caffe.CaffeError, match="damaged"):
        solver.restore("deep.solverstate")
