"""`crfasrnn segment` as a user calls it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.commands import crfasrnn, failure
from support.crfasrnn.models import CAT, PERSON, Files, save_net, with_crf
from support.warm import python

from crfasrnn import Segmenter
from crfasrnn.commands.main import main
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image, write_image


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A net with a CRF for three classes."""
    return save_net(tmp_path_factory.mktemp("net"), with_crf)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """A cat and a person on disk."""
    paths = [tmp_path / "cat.png", tmp_path / "person.jpg"]
    for path, image in zip(paths, (CAT, PERSON)):
        write_image(path, image)
    return paths


def model(files: Files) -> list[str | Path]:
    """The options that choose it."""
    return ["--model", files[0], "--weights", files[1]]


def test_segment_writes_labels_overlay_and_probabilities(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder"
    done = crfasrnn("segment", *photographs, *model(tiny), "--output", output, "--probabilities")
    assert done.returncode == 0, done.stderr
    segmenter = Segmenter(*tiny)
    for path in photographs:
        expected = segmenter.segment(read_image(path), probabilities=True)
        np.testing.assert_array_equal(read_labels(output / f"{path.stem}_labels.png"), expected.labels)
        np.testing.assert_allclose(
            np.load(output / f"{path.stem}_probabilities.npy"), expected.probabilities, atol=1e-6
        )
        assert read_image(output / f"{path.stem}_overlay.png").shape[0] > expected.labels.shape[0]
        assert str(output / f"{path.stem}_labels.png") in done.stdout
    assert len(list(output.iterdir())) == 6
    assert done.stderr == ""  # the progress bar is for terminals


@pytest.mark.parametrize(("options", "side"), [(["--size", "64"], 64), (["--size", "native"], None), ([], None)])
def test_segment_at_a_size(
    tiny: Files, photographs: list[Path], tmp_path: Path, options: list[str], side: int | None
) -> None:
    done = crfasrnn("segment", photographs[0], *model(tiny), "--output", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    expected = Segmenter(*tiny, size=side).segment(CAT).labels
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "cat_labels.png"), expected)


def test_segment_padded(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    done = crfasrnn("segment", photographs[1], *model(tiny), "--output", tmp_path / "out", "--pad", "--size", "100")
    assert done.returncode == 0, done.stderr
    expected = Segmenter(*tiny, size=100, pad=True).segment(read_image(photographs[1])).labels
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "person_labels.png"), expected)


def test_wrong_files_give_one_line_and_no_output(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    output = ["--output", tmp_path / "out"]
    cat = photographs[0]
    assert "'none.jpg': no such file" in failure("segment", cat, "none.jpg", *model(tiny), *output)
    (tmp_path / "empty").mkdir()
    assert "no images in" in failure("segment", tmp_path / "empty", *model(tiny), *output)
    assert "not found" in failure("segment", cat, "--model", tiny[0], "--weights", "none.caffemodel", *output)
    assert "no model 'nothing'" in failure("segment", cat, "--model", "nothing", *output)
    twin = tmp_path / "twin" / "cat.jpg"
    twin.parent.mkdir()
    write_image(twin, CAT)
    assert "results of the same name" in failure("segment", cat, twin, *model(tiny), *output)
    assert "out.PNG': the results go to a folder" in failure(
        "segment", cat, *model(tiny), "--output", tmp_path / "out.PNG"
    )
    broken = tmp_path / "broken.prototxt"
    broken.write_text('layer { name: "data"\n  typ: "Input" }\n')
    assert "broken.prototxt:2:" in failure("segment", cat, "--model", broken, "--weights", tiny[1], *output)
    text = tmp_path / "text.caffemodel"
    text.write_text("this is no model")
    assert "text.caffemodel" in failure("segment", cat, "--model", tiny[0], "--weights", text, *output)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.PNG").exists()


def test_layers_without_weights_are_reported(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.prototxt"
    renamed.write_text(tiny[0].read_text().replace("inference1", "inference-of-mine"))
    done = crfasrnn("segment", photographs[0], "--model", renamed, "--weights", tiny[1], "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "has no weights for: inference-of-mine" in done.stderr


def test_a_damaged_photograph_is_reported_and_the_others_are_segmented(
    tiny: Files, photographs: list[Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(photographs[0].read_bytes()[:5000])
    done = crfasrnn("segment", damaged, photographs[1], *model(tiny), "--output", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "damaged.png" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["person_labels.png", "person_overlay.png"]


def test_ctrl_c_ends_with_130_and_whole_files(tiny: Files, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(300)]
    for path in paths:
        write_image(path, PERSON)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "crfasrnn.commands.main", "segment", *paths, *model(tiny), "--output", output]
    process = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a script inherits Ctrl-C as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("*_overlay.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    written = sorted(output.iterdir())
    assert 0 < len(written) < 600
    for path in written:
        assert not path.name.startswith(".")
        read_image(path)


def test_a_run_that_was_killed_and_repeated_loses_nothing(tiny: Files, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(24):
        write_image(tmp_path / "in" / f"{index:02}.png", np.roll(PERSON, 5 * index, axis=1))
    command = ["segment", tmp_path / "in" / "*.png", *model(tiny), "--processes", "2", "--output"]
    output, whole = tmp_path / "out", tmp_path / "whole"
    process = subprocess.Popen(
        [python(), "-m", "crfasrnn", *map(str, [*command, output])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("*_labels.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)  # the last process has ended
    written = {path: path.stat().st_mtime_ns for path in output.glob("[!.]*_labels.png")}
    assert 0 < len(written) < 24
    again = crfasrnn(*command, output)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"{len(written)} image")
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert crfasrnn(*command, whole, "--again").returncode == 0
    assert sorted(path.name for path in output.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in whole.iterdir():
        assert (output / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("least", [None, 0, 0.5])
def test_classes_are_left_out_as_asked(least: float | None, tmp_path: Path) -> None:
    options = [] if least is None else ["--min-probability", str(least)]
    write_image(tmp_path / "cat.png", CAT)
    command = ["segment", tmp_path / "cat.png", "--size", 64, "--probabilities", "--output", tmp_path, *options]
    assert main([str(word) for word in command]) == 0
    expected = Segmenter(size=64, min_probability=1e-3 if least is None else least).segment(CAT, probabilities=True)
    np.testing.assert_array_equal(np.load(tmp_path / "cat_probabilities.npy"), expected.probabilities)
