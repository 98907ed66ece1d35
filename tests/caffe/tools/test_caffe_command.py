"""The `caffe` command, run as a user runs it: its log lines against those of genuine Caffe, its errors and exit codes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.reference_data import shared_path

import caffe
from caffe import mode
from caffe.cli import Flags
from caffe.proto import model_file, solver_state
from caffe.tools import flags

PREFIX = re.compile(r"[IWEF]\d{4,8} \d\d:\d\d:\d\d\.\d{6} +\d+ \S+:\d+\] ")
# Lines about Caffe's own insides: its layer factory (again for layers inside layers) and its HDF5 reader.
INSIDES = (
    "Creating layer ",
    "Loading list of HDF5",
    "Number of HDF5",
    "Datatype class",
    "Initializing ",
    "Ignoring source layer",
)


def run(*arguments: str, cwd: Path, status: int = 0) -> str:
    """Run the command; returns its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "caffe", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def messages(log: str) -> list[str]:
    """What a log says, without prefixes, printed definitions, Caffe's insides and lines whose numbers are times."""
    lines = [PREFIX.sub("", line) for line in log.splitlines() if PREFIX.match(line)]
    lines = [re.sub(r" \(\S+ iter/s, \S+s/(\d+) iters\)", r" (\1 iters)", line) for line in lines]
    lines = [re.sub(r"(forward|backward): \S+ ms", r"\1", line) for line in lines]
    lines = [re.sub(r"(time|pass|Backward|Time): \S+ ms", r"\1", line) for line in lines]
    return [line for line in lines if not line.startswith(INSIDES)]


def assert_same(ours: list[str], theirs: list[str]) -> None:
    """Equal word by word, numbers to float accuracy."""
    for mine, other in zip(ours, theirs):
        for a, b in zip(mine.split(), other.split(), strict=True):
            try:
                assert float(a.rstrip(",")) == pytest.approx(float(b.rstrip(",")), rel=2e-4), (mine, other)
            except ValueError:
                assert a == b, (mine, other)
    assert len(ours) == len(theirs)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the nets, solvers, data and weights that the recorded logs come from."""
    for folder in ("solver", "logs", "files"):
        for source in shared_path("golden", folder).iterdir():
            if source.suffix in (".prototxt", ".h5", ".txt", ".caffemodel", ".solverstate"):
                shutil.copy(source, tmp_path)
    return tmp_path


def golden_log(name: str) -> str:
    return shared_path("golden", "logs", name).read_text()


def test_train_test_and_resume_log_like_caffe(workplace: Path) -> None:
    log = run("train", "-solver", "solver.prototxt", "-weights", "tiny_init.caffemodel", cwd=workplace)
    assert_same(messages(log), messages(golden_log("train_with_test.log")))
    log = run(
        "test", "-model", "trainval.prototxt", "-weights", "tiny_iter_12.caffemodel", "-iterations", "4", cwd=workplace
    )
    assert_same(messages(log), messages(golden_log("test.log")))
    # As genuine Caffe writes it: without what lets us go on with the same data and losses.
    state = solver_state.read_solver_state(workplace / "tiny_iter_6.solverstate")
    solver_state.write_solver_state(workplace / "tiny_iter_6.solverstate", replace(state, progress=b""))
    final = {layer.name: layer.blobs for layer in model_file.read_model(workplace / "tiny_iter_12.caffemodel")}
    log = run("train", "--solver=solver.prototxt", "--snapshot=./tiny_iter_6.solverstate", cwd=workplace)
    assert_same(messages(log), messages(golden_log("train_resume.log")))
    # The data restart at row 0 and six batches of two are one round of the twelve rows: the resumed run sees the same images.
    for layer in model_file.read_model(workplace / "tiny_iter_12.caffemodel"):
        for ours, first in zip(layer.blobs, final[layer.name]):
            np.testing.assert_array_equal(ours, first)


def test_time_logs_like_caffe(workplace: Path) -> None:
    log = run("time", "-model=trainval.prototxt", "-iterations=3", cwd=workplace)
    ours, theirs = messages(log), messages(golden_log("time.log"))
    random_start = next(i for i, line in enumerate(theirs) if line.startswith("Initial loss"))
    assert ours[random_start].startswith("Initial loss: ")
    del ours[random_start], theirs[random_start]
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["tiny_sgd_binaryproto", "tiny_sgd_hdf5", "tiny_adam_binaryproto", "tiny_adam_hdf5"])
def test_training_and_files_like_caffe(workplace: Path, name: str) -> None:
    log = run("train", "-solver", f"{name}_solver.prototxt", "-weights", "tiny_init.caffemodel", cwd=workplace)
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
    log = run(
        "train", "-solver", f"{name}_solver.prototxt", "-snapshot", f"{name}_iter_10.solverstate{suffix}", cwd=workplace
    )
    assert_same(messages(log), messages(golden_log(f"resume_{name}.log")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "Need a solver definition to train"),
        (["train", "-solver", "nowhere.prototxt"], "nowhere.prototxt"),
        (["train", "-solver", "solver.prototxt", "-weights", "a", "-snapshot", "b"], "but not both"),
        (["train", "-solver", "solver.prototxt", "-weights", "nowhere.caffemodel"], "nowhere.caffemodel"),
        (["train", "-solver", "solver.prototxt", "-gpu", "x"], "-gpu takes device numbers"),
        (["train", "-solver", "solver.prototxt", "-sigint_effect", "explode"], "Invalid signal effect"),
        (["test", "-model", "trainval.prototxt"], "Need model weights"),
        (["time", "-model", "trainval.prototxt", "-iterations", "many"], "illegal value 'many'"),
        (["time", "-model", "trainval.prototxt", "-iterations", "0"], "at least 1"),
        (["time", "-model", "trainval.prototxt", "-phase", "DEV"], "TRAIN"),
        (["time", "-modl", "trainval.prototxt"], "unknown command line flag 'modl'"),
        (["time", "-model"], "missing its argument"),
        (["frobnicate"], "Unknown action: frobnicate"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(workplace: Path, arguments: list[str], words: str) -> None:
    assert words in run(*arguments, cwd=workplace, status=1)


def test_flags_of_the_log_library_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    parsed = Flags()
    given = "train --logtostderr=1 -alsologtostderr -nolog_prefix -log_dir /tmp -v=1 --minloglevel 2 -solver s.prototxt"
    assert flags.parse(given.split(), parsed) == ["train"]
    assert parsed == Flags(solver="s.prototxt")
    assert os.environ["GLOG_minloglevel"] == "2"  # noqa: SIM112  # glog's spelling
    with pytest.raises(caffe.CaffeError, match="illegal value 'x' specified for int flag '-v'"):
        flags.parse(["-v=x"], Flags())
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
    )
    assert run("time", "-model", "net.prototxt", "-iterations=1", "-minloglevel=2", cwd=tmp_path) == ""


def test_usage_without_a_command(tmp_path: Path) -> None:
    assert "usage: caffe <command> <args>" in run(cwd=tmp_path)


def test_unwritable_snapshot_prefix_is_refused_at_the_start(workplace: Path) -> None:
    text = (workplace / "solver.prototxt").read_text().replace("./tiny", "nodir/x")
    (workplace / "solver.prototxt").write_text(text)
    words = "Cannot write to snapshot prefix 'nodir/x'.  Make sure that the directory exists and is writeable."
    assert words in run("train", "-solver", "solver.prototxt", cwd=workplace, status=1)


def train_for_long(workplace: Path) -> subprocess.Popen[str]:
    """A training that only a signal ends."""
    text = (workplace / "solver.prototxt").read_text().replace("max_iter: 12", "max_iter: 1000000")
    (workplace / "solver.prototxt").write_text(text.replace("snapshot: 6", "snapshot: 1000000"))
    command = [sys.executable, "-m", "caffe", "train", "-solver", "solver.prototxt"]
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
    log = run("train", "-solver", "solver.prototxt", cwd=workplace)
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


WIDE = """
layer { name: "x" type: "DummyData" top: "x"
  dummy_data_param { shape { dim: 1 dim: 3 dim: 3 dim: 3 } data_filler { value: 0.777 } } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { value: 0.1234 } } }
layer { name: "mean" type: "Reduction" bottom: "y" top: "mean" reduction_param { operation: MEAN } }
"""


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_precision(tmp_path: Path, precision: str) -> None:
    (tmp_path / "net.prototxt").write_text(WIDE)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.save(tmp_path / "weights.caffemodel")
    options = ("-model", "net.prototxt", "-weights", "weights.caffemodel", "-iterations", "1")
    log = run("test", *options, "-precision", precision, cwd=tmp_path)
    kind = mode.PRECISIONS[precision]
    factors = [float(torch.tensor(value).to(kind)) for value in (0.777, 0.1234)]
    expected = float(torch.tensor(27 * factors[0] * factors[1]).to(kind))
    assert float(re.search(r"\] mean = (\S+)", log)[1]) == pytest.approx(expected, rel=1e-5)  # type: ignore[index]


def test_time_of_inference(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(WIDE)
    arguments = ("time", "-model", "net.prototxt", "-inference", "-precision=bf16", "-iterations=2")
    said = messages(run(*arguments, cwd=tmp_path))
    assert said[-5:] == [
        "Testing for 2 iterations.",
        "Iteration: 1 forward time.",
        "Iteration: 2 forward time.",
        "Average Forward pass.",
        "*** Benchmark ends ***",
    ]
    assert "-inference is for phase TEST" in run(*arguments, "-phase", "TRAIN", cwd=tmp_path, status=1)
    assert "precision is one of float32, bf16, not 'half'" in run(
        *arguments, "-precision", "half", cwd=tmp_path, status=1
    )
