"""`-log_json` beside the log lines, and not instead of them."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import caffe

from caffe.errors import CaffeError
from caffe.logs.json_log import json_log

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 }
  data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
layer { name: "score" type: "InnerProduct" bottom: "data" top: "score" inner_product_param { num_output: 2 weight_filler {
  type: "gaussian" std: 1 } } }
layer { name: "probability" type: "Softmax" bottom: "score" top: "probability" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "step" stepsize: 4 gamma: 0.5 max_iter: 6 display: 2 test_iter: 3 test_interval: 3
test_compute_loss: true snapshot: 4 snapshot_prefix: "run" solver_mode: CPU random_seed: 1
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def events(path: Path, kind: str = "") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(isinstance(event["time"], float) for event in found)
    return [event for event in found if not kind or event["event"] == kind]


def test_training_tells_what_the_log_says(workplace: Path) -> None:
    log = caffe("train", "-solver", "solver.prototxt", "-log_json", "log.jsonl", cwd=workplace)
    path = workplace / "log.jsonl"
    shown = re.findall(r"Iteration (\d+) \(.*loss = (\S+)", log)
    trained = events(path, "train")
    assert [(str(event["iteration"]), f"{event['loss']:g}") for event in trained] == shown
    assert [event["lr"] for event in trained] == pytest.approx([0.1, 0.1, 0.05])
    assert [set(event["outputs"]) for event in trained] == [{"loss"}] * 3
    tested = events(path, "test")
    assert [event["iteration"] for event in tested] == [0, 3, 6]
    assert [f"{event['loss']:g}" for event in tested] == re.findall(r"Test loss: (\S+)", log)
    assert [len(event["outputs"]["probability"]) for event in tested] == [8] * 3
    assert [f"{event['outputs']['loss']:g}" for event in tested] == re.findall(
        r"Test net output #\d+: loss = (\S+)", log
    )
    snapshots = events(path, "snapshot")
    assert [event["state"] for event in snapshots] == ["run_iter_4.solverstate", "run_iter_6.solverstate"]
    assert all((workplace / event["model"]).exists() for event in snapshots)
    times = [event["time"] for event in events(path)]
    assert times == sorted(times)
    # A resumed run appends.
    before = len(events(path))
    resumed = ("train", "-solver", "solver.prototxt", "-snapshot", "run_iter_4.solverstate", "-log_json", "log.jsonl")
    caffe(*resumed, cwd=workplace)
    added = events(path)[before:]
    assert [event["iteration"] for event in added if event["event"] == "train"] == [4]


def test_test_and_time(workplace: Path) -> None:
    caffe("train", "-solver", "solver.prototxt", cwd=workplace)
    model = ("-model", "net.prototxt", "-iterations", "2")
    log = caffe("test", *model, "-weights", "run_iter_6.caffemodel", "-log_json", "test.jsonl", cwd=workplace)
    assert len(events(workplace / "test.jsonl", "batch")) == 2
    (result,) = events(workplace / "test.jsonl", "test")
    assert f"Loss: {result['loss']:g}" in log
    caffe("time", *model, "-log_json", "time.jsonl", cwd=workplace)
    layers = events(workplace / "time.jsonl", "layer")
    assert [layer["layer"] for layer in layers] == ["data", "score", "loss"]
    (total,) = events(workplace / "time.jsonl", "time")
    assert 0 < sum(layer["forward_ms"] for layer in layers) < total["forward_backward_ms"]


def test_a_path_that_cannot_be_written_is_one_error(workplace: Path) -> None:
    words = "-log_json nodir/x.jsonl: cannot be written: No such file or directory"
    arguments = ("train", "-solver", "solver.prototxt", "-log_json", "nodir/x.jsonl")
    assert words in caffe(*arguments, cwd=workplace, status=1)


def test_events_are_appended_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    began = time.time()
    for number in (1, 2):
        with json_log(str(path)) as write:
            write({"event": "x", "number": number})
    found = events(path)
    assert [(event["event"], event["number"]) for event in found] == [("x", 1), ("x", 2)]
    assert all(began - 1 <= event["time"] <= time.time() + 1 for event in found)


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with json_log("") as write:
        write({"event": "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_error() -> None:
    with (
        json_log("/dev/full") as write,
        pytest.raises(CaffeError, match=r"-log_json /dev/full: cannot be written: No space"),
    ):
        write({"event": "x"})


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    with json_log(str(tmp_path / "log")) as write:
        write({"event": "train", "loss": math.nan, "outputs": {"a": [1.0, math.inf]}})
    (event,) = events(tmp_path / "log")
    assert (event["loss"], event["outputs"]) == (None, {"a": [1.0, None]})
