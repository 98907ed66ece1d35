"""The reader of trainings' logs, JSON and text, and the curves it gives."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from support.crfasrnn.figures import text_log

from caffe.errors import CaffeError
from crfasrnn.figures.curves import Curves, draw_training, read_curves, read_events, seconds, smoothed, speed

EVENTS = [
    {"event": "train", "iteration": 0, "loss": 4.5, "iterations_per_second": None},
    {"event": "train", "iteration": 20, "loss": 3.5, "iterations_per_second": 2.0},
    {"event": "validation", "iteration": 20, "mean_iu": 0.25},
    {"event": "session", "iteration": 25, "seconds": 10.5},
    {"event": "train", "iteration": 20, "loss": 3.25, "iterations_per_second": 4.0},
    {"event": "train", "iteration": 40, "loss": None, "iterations_per_second": 100.0},
    {"event": "test", "iteration": 40, "outputs": {}},
    {"event": "session", "iteration": 40, "seconds": 2.0},
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A JSON log of two sessions, with lines that are none."""
    lines = [json.dumps(event) for event in EVENTS]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([*lines[:4], "[1]", '{"iteration": 3}', "\x00", *lines[4:], lines[0][:20]]))
    return path


def test_a_json_log(log: Path) -> None:
    assert list(read_events(log)) == EVENTS
    assert read_curves(log) == Curves({0: 4.5, 20: 3.25}, {20: 0.25})
    assert speed(log) == 4  # the median
    assert seconds(log) == 12.5


def test_a_text_log(tmp_path: Path) -> None:
    path = tmp_path / "net.log"
    path.write_text(text_log())
    curves = read_curves(path)
    assert list(curves.loss) == list(range(0, 61, 3))
    assert [curves.loss[iteration] for iteration in (0, 3, 57, 60)] == [300, 75, 8.5, 2.5]
    assert curves.mean_iu == {60: 0.5}
    assert speed(path) is None


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    for reader in (read_curves, seconds):
        with pytest.raises(CaffeError, match=r"cannot read log '.*none.log': No such file"):
            reader(tmp_path / "none.log")
    assert speed(tmp_path / "none.log") is None
    (tmp_path / "bytes.log").write_bytes(bytes(range(256)) * 100)
    assert read_curves(tmp_path / "bytes.log") == Curves({}, {})


def test_a_centred_window_keeps_what_is_straight() -> None:
    for values in (np.full(100, 3.0), np.arange(200.0), np.arange(3.0)):
        np.testing.assert_allclose(smoothed(values), values)
    noise = np.random.default_rng(0).standard_normal(1000)
    middle = slice(100, 900)
    expected = np.convolve(noise, np.ones(51) / 51, mode="same")
    np.testing.assert_allclose(smoothed(noise)[middle], expected[middle], atol=1e-12)


def test_each_training_has_its_panel(tmp_path: Path) -> None:
    curves = Curves({0: 3.0, 5: 2.0, 10: 1.0}, {10: 0.5})
    for count in (1, 2):
        draw_training(tmp_path / f"{count}.png", [("x", curves)] * count)
    one, two = (matplotlib.image.imread(tmp_path / f"{count}.png") for count in (1, 2))
    assert two.shape[1] - one.shape[1] == 750
    draw_training(tmp_path / "loss.png", [("x", Curves(curves.loss, {}))])
    orange = (np.abs(one[..., :3] - np.float32([1, 127 / 255, 14 / 255])) < 0.02).all(-1)
    assert orange.sum() > 100  # the mean IU
    loss_only = matplotlib.image.imread(tmp_path / "loss.png")
    assert not (np.abs(loss_only[..., :3] - np.float32([1, 127 / 255, 14 / 255])) < 0.02).all(-1).any()
    draw_training(tmp_path / "none.png", [("nothing yet", Curves({}, {}))])


def test_the_crfs_weights(tmp_path: Path) -> None:
    good = {"event": "crf", "iteration": 20, "spatial": [1, 1.5], "bilateral": [3, 2.5], "compatibility": [-1, -0.5]}
    bad = [
        {**good, "iteration": 40, "spatial": [float("nan"), 1]},
        {**good, "iteration": 60, "bilateral": "x"},
        {"event": "crf"},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(event) for event in [*EVENTS, good, *bad]))
    curves = read_curves(log)
    assert curves.crf == {20: {name: good[name] for name in ("spatial", "bilateral", "compatibility")}}
    assert curves.loss == {0: 4.5, 20: 3.25}
    with_crf, without = (tmp_path / f"{name}.png" for name in ("with", "without"))
    draw_training(with_crf, [("a", curves)] * 5)
    draw_training(without, [("a", Curves(curves.loss, curves.mean_iu))])
    height, width = matplotlib.image.imread(with_crf).shape[:2]  # two rows of four panels above each other
    alone = matplotlib.image.imread(without).shape[:2]
    assert height > 3 * alone[0] > 0
    assert width > 3 * alone[1]
