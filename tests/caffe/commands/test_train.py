"""caffe train: log, files and signals beside those of genuine Caffe, and wrong use."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.caffe.caffe_logs import assert_same, golden_log, messages
from support.commands import caffe
from support.reference_data import shared_path
from support.warm import python

from caffe.proto import caffe_pb2, model_file, solver_state


def test_train_and_resume_log_like_caffe(workplace: Path) -> None:
    log = caffe("train", "-solver", "solver.prototxt", "-weights", "tiny_init.caffemodel", cwd=workplace)
    assert_same(messages(log), messages(golden_log("train_with_test.log")))
    # As genuine Caffe writes it: without what lets us go on with the same data and losses.
    state = solver_state.read_solver_state(workplace / "tiny_iter_6.solverstate")
    solver_state.write_solver_state(workplace / "tiny_iter_6.solverstate", replace(state, progress=b""))
    final = {layer.name: layer.blobs for layer in model_file.read_model(workplace / "tiny_iter_12.caffemodel")}
    log = caffe("train", "--solver=solver.prototxt", "--snapshot=./tiny_iter_6.solverstate", cwd=workplace)
    assert_same(messages(log), messages(golden_log("train_resume.log")))
    # The data restart at row 0 and six batches of two are one round of the twelve rows: the resumed run sees the same images.
    for layer in model_file.read_model(workplace / "tiny_iter_12.caffemodel"):
        for ours, first in zip(layer.blobs, final[layer.name]):
            np.testing.assert_array_equal(ours, first)


@pytest.mark.parametrize("name", ["tiny_sgd_binaryproto", "tiny_sgd_hdf5", "tiny_adam_binaryproto", "tiny_adam_hdf5"])
def test_training_and_files_like_caffe(workplace: Path, name: str) -> None:
    log = caffe("train", "-solver", f"{name}_solver.prototxt", "-weights", "tiny_init.caffemodel", cwd=workplace)
    assert_same(messages(log), messages(golden_log(f"train_{name}.log")))
    for iteration in (10, 20):
        suffix = ".h5" if name.endswith("hdf5") else ""
        stem = f"{name}_iter_{iteration}"
        ours = model_file.read_model(workplace / f"{stem}.caffemodel{suffix}")
        theirs = model_file.read_model(shared_path("golden", "files", f"{stem}.caffemodel{suffix}"))
        assert {layer.name for layer in ours if layer.blobs} == {layer.name for layer in theirs if layer.blobs}
        expected = {layer.name: layer.blobs for layer in theirs}
        for layer in ours:
            for a, b in zip(layer.blobs, expected.get(layer.name, []), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5 * max(1e-3, np.abs(b).max()))
        mine = solver_state.read_solver_state(workplace / f"{stem}.solverstate{suffix}")
        other = solver_state.read_solver_state(shared_path("golden", "files", f"{stem}.solverstate{suffix}"))
        assert (mine.iter, mine.current_step, mine.learned_net) == (other.iter, other.current_step, other.learned_net)
        for a, b in zip(mine.history, other.history, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 * max(1e-6, np.abs(b).max()))


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_resume_from_genuine_solverstate(workplace: Path, suffix: str) -> None:
    name = "tiny_sgd_hdf5" if suffix else "tiny_sgd_binaryproto"
    log = caffe(
        "train", "-solver", f"{name}_solver.prototxt", "-snapshot", f"{name}_iter_10.solverstate{suffix}", cwd=workplace
    )
    assert_same(messages(log), messages(golden_log(f"resume_{name}.log")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Need a solver definition to train"),
        (["-solver", "nowhere.prototxt"], "nowhere.prototxt"),
        (["-solver", "solver.prototxt", "-weights", "a", "-snapshot", "b"], "but not both"),
        (["-solver", "solver.prototxt", "-weights", "nowhere.caffemodel"], "nowhere.caffemodel"),
        (
            ["-solver", "solver.prototxt", "-snapshot", "tiny_init.caffemodel"],
            "holds a model's weights, not a solver's state",
        ),
        (["-solver", "solver.prototxt", "-weights", "others.caffemodel"], "Set CAFFE_ALLOW_NO_WEIGHTS=1"),
        (["-solver", "solver.prototxt", "-gpu", "x"], "-gpu takes device numbers"),
        (["-solver", "solver.prototxt", "-sigint_effect", "explode"], "Invalid signal effect"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(workplace: Path, arguments: list[str], words: str) -> None:
    net = caffe_pb2.NetParameter()
    net.layer.add(name="others", type="InnerProduct")
    model_file.write_model(workplace / "others.caffemodel", net, [[np.ones((1, 1), np.float32)]])
    assert words in caffe("train", *arguments, cwd=workplace, status=1)


def test_unwritable_snapshot_prefix_is_refused_at_the_start(workplace: Path) -> None:
    text = (workplace / "solver.prototxt").read_text().replace("./tiny", "nodir/x")
    (workplace / "solver.prototxt").write_text(text)
    words = "Cannot write to snapshot prefix 'nodir/x'.  Make sure that the directory exists and is writeable."
    assert words in caffe("train", "-solver", "solver.prototxt", cwd=workplace, status=1)


def train_for_long(workplace: Path) -> subprocess.Popen[str]:
    """A training that only a signal ends."""
    text = (workplace / "solver.prototxt").read_text().replace("max_iter: 12", "max_iter: 1000000")
    (workplace / "solver.prototxt").write_text(text.replace("snapshot: 6", "snapshot: 1000000"))
    command = [python(), "-m", "caffe", "train", "-solver", "solver.prototxt"]
    return subprocess.Popen(command, cwd=workplace, stderr=subprocess.PIPE, text=True)


def test_interrupt_snapshots_and_stops(workplace: Path) -> None:
    with train_for_long(workplace) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Iteration 9 (" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert "Optimization stopped early." in rest
    states = list(workplace.glob("tiny_iter_*.solverstate"))
    assert len(states) == 1
    assert solver_state.read_solver_state(states[0]).iter == int(re.findall(r"\d+", states[0].name)[0])


def test_hangup_snapshots_and_goes_on(workplace: Path) -> None:
    seen = []
    with train_for_long(workplace) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Iteration 9 (" in line:
                process.send_signal(signal.SIGHUP)
            if "Snapshotting solver state" in line:
                seen.append(line)
            if seen and "iter/s" in line:  # it trains on
                break
        process.kill()
        process.communicate()
    assert len(list(workplace.glob("tiny_iter_*.solverstate"))) == 1


def test_prefix_is_what_log_parsers_read(workplace: Path) -> None:
    log = caffe("train", "-solver", "solver.prototxt", cwd=workplace)
    line = next(line for line in log.splitlines() if "Iteration 3 (" in line)
    stamp = re.match(r"I(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) +\d+ solver\.cpp:\d+\] Iteration 3 \(", line)
    assert stamp
    assert [int(stamp[1]), int(stamp[2])] == [time.localtime().tm_mon, time.localtime().tm_mday]
    # The files that log these lines in Caffe.
    for file, message in [
        ("caffe.cpp", "Starting Optimization"),
        ("solver.cpp", "Creating training net"),
        ("solver.cpp", "Snapshotting to "),
        ("sgd_solver.cpp", "Snapshotting solver state to "),
        ("sgd_solver.cpp", "Iteration 3, lr = "),
    ]:
        assert re.search(rf"^I\d{{4}} [\d:.]{{15}} +\d+ {file}:\d+\] {message}", log, re.M), (file, message)
