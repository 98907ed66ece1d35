"""`crfasrnn train`: from one's own pictures to labels, and errors of the command line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import refusal, status
from support.crfasrnn.training import WIDTH, databases, own_pictures, weights_of
from support.warm import python

from caffe.files import write_text
from crfasrnn.claims import alone_in
from crfasrnn.figures.curves import read_curves
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.segmentation.models import find_model


def test_own_pictures_in_five_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    own_pictures(tmp_path, 8)
    source = ("--images", "photos", "--masks", "masks")
    assert status("data", "split", *source, "--output", "own", "--share", "0.25") == 0
    for name in ("train", "val"):
        assert status("data", "lmdb", *source, "--list", f"own/{name}.txt", "--output", f"own/{name}") == 0
    tiny = ("--data", "own", "--width", WIDTH, "--steps", 20)
    assert status("train", "slim-fcn8s", *tiny, "--scratch") == 0
    assert status("train", "slim-crfrnn", *tiny) == 0
    said = capsys.readouterr().out
    assert "slim-crfrnn (FCN-8s slim + CRF-RNN): 3 classes, class 0, class 1, class 2\n" in said
    assert "training on 6 images of own/train, one a step\ntesting on all 2 images of own/val every 2 steps" in said
    assert "20 steps from random weights, learning rate 0.0002\n" in said
    assert "20 steps from own/slim-fcn8s/final.caffemodel, learning rate 5e-05\n" in said
    assert "\nsegment:     crfasrnn segment IMAGES --model own/slim-crfrnn\n" in said
    assert (
        " --masks MASKS\n             (with the --classes, --void and --names that made the databases, if any)\n"
        in said
    )
    assert "\nnext recipe: crfasrnn train slim-crfrnn --data own\n" in said
    for recipe in ("slim-fcn8s", "slim-crfrnn"):
        assert {path.name for path in Path("own", recipe).iterdir()} == {
            *("train.prototxt", "val.prototxt", "deploy.prototxt", "solver.prototxt", "classes.txt", "job.json"),
            *("final.caffemodel", "log.jsonl", "train.log", "training.png"),
            *("snapshot_iter_20.caffemodel", "snapshot_iter_20.solverstate"),
        }
        curves = read_curves(Path("own", recipe, "log.jsonl"))
        assert list(curves.mean_iu) == list(range(2, 21, 2))
    model = ("--model", "own/slim-crfrnn")
    assert status("segment", "photos/p1.png", *model, "--output", "out") == 0
    assert read_labels("out/p1_labels.png").max() <= 2


def test_recipes_of_a_bundled_model_start_from_it(tmp_path: Path, capsys: Any) -> None:
    data = databases(tmp_path)
    write_text(data / "classes.txt", "8 cat\n0 background\n1 unheard of\n")
    assert status("train", "deeplab-crfrnn", "--data", data, "--steps", 1, "--learning-rate", "1e-30") == 0
    bundled = find_model("voc21-deeplab").weights
    assert f"1 step from {bundled}, learning rate 1e-30\n" in capsys.readouterr().out
    first, learned = weights_of(bundled), weights_of(data / "deeplab-crfrnn" / "final.caffemodel")
    for name in ("Conv", "expanded_conv_16_project"):
        np.testing.assert_allclose(learned[name][0], first[name][0], atol=1e-20)
    scores, field = learned["logits_semantic"][0], learned["inference1"][0].reshape(3, 3)
    np.testing.assert_allclose(scores[:2], first["logits_semantic"][0][[8, 0]], atol=1e-20)
    np.testing.assert_allclose(
        field[:2, :2], first["inference1"][0].reshape(21, 21)[np.ix_([8, 0], [8, 0])], atol=1e-20
    )


def test_another_crf_than_the_bundled_one_starts_anew(tmp_path: Path, capsys: Any) -> None:
    data = databases(tmp_path)
    write_text(data / "classes.txt", "0 background\n8 cat\n15 person\n")
    line = ("train", "deeplab-crfrnn", "--data", data, "--steps", 1, "--learning-rate", "1e-30")
    for number, options in enumerate((("--kernel-weights", "shared", "--compatibility", "potts"), ("--untied",))):
        assert status(*line, *options, "--output", tmp_path / str(number)) == 0
        spatial, bilateral, compatibility = weights_of(tmp_path / str(number) / "final.caffemodel")["inference1"]
        assert np.unique(np.round(spatial, 6)).tolist() == [0, 1]
        assert np.unique(np.round(bilateral, 6)).tolist() == [0, 3]
        assert np.unique(np.round(compatibility, 6)).tolist() == [-1, 0]
    write_text(data / "classes.txt", "0 background\n8 cat\n1 zebra\n")
    assert status("train", "deeplab-crf-only", "--data", data, "--steps", 1) == 1
    assert "does not score zebra, and deeplab-crf-only learns no scores" in capsys.readouterr().err


def test_what_the_paper_leaves_open_is_trained_and_deployed(tmp_path: Path, capsys: Any) -> None:
    """Learned widths move by some per cent, further kernels and a GRU learn; their folders are models."""
    data = databases(tmp_path)
    tiny = ("--data", data, "--width", WIDTH, "--steps", 2, "--test-interval", 2)
    assert status("train", "slim-fcn8s", *tiny, "--scratch") == 0
    tiny += ("--mean-field-iterations", 2)
    options = {
        "open": ("--learn-bandwidths", "--bilateral", "60,9", "--bilateral", "20,30", "--learning-rate", "1e-2"),
        "gru": ("--refiner", "gru", "--learning-rate", "1e-2"),
    }
    for name, more in options.items():
        assert status("train", "slim-crf-only", *tiny, *more, "--output", tmp_path / name) == 0
        photographs = tmp_path / "photos" / "p1.png"
        assert status("segment", photographs, "--model", tmp_path / name, "--output", tmp_path / "out") == 0
        capsys.readouterr()
        assert status("train", "slim-crf-only", *tiny, *more, "--output", tmp_path / name) == 0
        assert "is there already, of 2 steps" in capsys.readouterr().out
    learned = weights_of(tmp_path / "open" / "final.caffemodel")["inference1"]
    assert [blob.shape for blob in learned] == [(1, 1, 3, 3)] * 5 + [(7,)]
    moved = np.abs(learned[5] - np.log([160, 3, 3, 60, 9, 20, 30]))
    assert (moved > 1e-6).all()
    assert (moved < 0.5).all()
    assert all((np.abs(blob[0, 0] - np.eye(3)) > 1e-6).any() for blob in learned[3:5])
    gru = weights_of(tmp_path / "gru" / "final.caffemodel")
    assert gru["gru1_same_mixed"][0].any()
    before = weights_of(data / "slim-fcn8s" / "final.caffemodel")
    assert all(np.array_equal(before[name][0], gru[name][0]) for name in before)


def test_errors_of_the_command_are_one_line(tmp_path: Path, capsys: Any) -> None:
    for arguments, message in (
        (("slim-crfrnn", "--data", tmp_path), "starts from the result of slim-fcn8s"),
        (("slim-fcn8s", "--data", tmp_path), "starts from VGG-16: give it with --weights"),
        (("fcn16s", "--data", tmp_path, "--scratch", "--weights", "x"), "--weights or --scratch, not both"),
        (("slim-fcn8s", "--data", tmp_path, "--steps", "0"), "'0' is not a number of steps"),
        (("slim-fcn8s", "--data", tmp_path, "--scratch", "--width", "0"), "'0' is not a number above 0"),
        (("slim-fcn8s", "--data", tmp_path, "--scratch", "--untied"), "slim-fcn8s has no CRF"),
        (("slim-fcn8s", "--data", tmp_path, "--scratch", "--refiner", "gru"), "slim-fcn8s has no CRF"),
        (("slim-crfrnn", "--data", tmp_path, "--refiner", "gru", "--bilateral", "9,9"), "--refiner gru is no CRF"),
        (("slim-crfrnn", "--data", tmp_path, "--bilateral", "9"), "'9' is not two numbers ALPHA,BETA"),
        (("slim-crfrnn", "--data", tmp_path, "--bilateral", "9,-1"), "'-1' is not a number above 0"),
        (("slim-fcn8s", "--data", tmp_path / "none", "--scratch"), "none/train` makes"),
        (("slim-fcn8s", "--data", tmp_path, "--weights", tmp_path), "final.caffemodel' not found"),
    ):
        assert message in refusal(capsys, "train", *arguments)


def test_a_stopped_training_goes_on_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """SIGTERM is told from a spent budget by the status; both leave what the same command goes on with."""
    monkeypatch.chdir(tmp_path)
    data = databases(tmp_path)
    command = ("train", "slim-fcn8s", "--data", data, "--width", WIDTH, "--steps", 150, "--output", "out")
    assert status(*command, "--scratch", "--budget-minutes", "1e-6") == 3
    assert "--weights or --scratch" not in capsys.readouterr().err
    process = subprocess.Popen([python(), "-m", "crfasrnn", *map(str, command)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("going on from step 1 of 150, learning rate "):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=100)
    assert (process.returncode, rest) == (130, "stopped at step 2 of 150; the same command goes on from there\n")
    assert status(*command) == 0
    assert Path("out/final.caffemodel").is_file()


def test_a_second_training_in_the_folder_is_refused(tmp_path: Path, capsys: Any) -> None:
    data = databases(tmp_path)
    (tmp_path / "out").mkdir()
    with alone_in(tmp_path / "out"):
        message = refusal(capsys, "train", "slim-fcn8s", "--data", data, "--scratch", "--output", tmp_path / "out")
    assert f"process {os.getpid()} is at work in {str(tmp_path / 'out')!r}" in message
