"""`crfasrnn densecrf` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import crfasrnn, refusal

from crfasrnn.commands.main import main
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import write_image


@pytest.fixture
def noisy(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A two-coloured picture, labels of it with every tenth pixel wrong and some unknown, and the true labels."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 25:] = 1
    picture = np.where(truth[..., None] == 1, np.uint8([200, 60, 30]), np.uint8([20, 90, 160]))
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(truth.shape) < 0.1, 1 - truth, truth).astype(np.uint8)
    labels[:5, :5] = 255
    write_image(tmp_path / "picture.png", picture)
    write_labels(tmp_path / "labels.png", labels)
    return tmp_path / "picture.png", tmp_path / "labels.png", truth


def test_command_cleans_labels_and_probabilities(noisy: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    picture, labels, truth = noisy
    out = tmp_path / "made" / "here" / "out.png"
    done = crfasrnn("densecrf", picture, labels, "-o", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{picture}, {labels} -> {out}\n", "")
    assert np.array_equal(read_labels(out), truth)
    given = read_labels(labels)
    known = np.where(given == 255, 0, given)
    one = np.where(given == 255, 0.5, np.where(known == 1, 0.7, 0.3))
    np.save(tmp_path / "probabilities.npy", np.stack([1 - one, one]).astype(np.float32))
    options = ["--mean-field-iterations", "5", "--bilateral", "40", "10", "8", "--spatial", "2", "3"]
    done = crfasrnn("densecrf", picture, tmp_path / "probabilities.npy", "-o", tmp_path / "two.png", *options)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / "two.png"), truth)
    options = ["--mean-field-iterations", "0"]
    done = crfasrnn("densecrf", picture, tmp_path / "probabilities.npy", "-o", tmp_path / "same.png", *options)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / "same.png"), one > 0.5)


def test_all_labels_are_computed_on_request(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20, 24, 32)).astype(np.float32)
    scores[4:] -= 7
    scores[3] = scores[:3].max(0) - 0.3  # first nowhere, but in a neighbourhood
    np.save(tmp_path / "scores.npy", scores)
    write_image(tmp_path / "picture.png", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    written = []
    for options in ([], ["--min-probability", "0"], ["--min-probability", "0.99"]):
        out = tmp_path / "out.png"
        done = crfasrnn("densecrf", tmp_path / "picture.png", tmp_path / "scores.npy", "--scores", "-o", out, *options)
        assert done.returncode == 0, done.stderr
        written.append(read_labels(out))
    usual, exact, coarse = written
    np.testing.assert_array_equal(usual, exact)
    assert (exact == 3).mean() > 0.5
    assert not (coarse == 3).any()
    refused = crfasrnn("densecrf", "a.png", "b.npy", "-o", "c.png", "--min-probability", "1")
    assert refused.returncode == 2
    assert "'1' is not a number of at least 0 and below 1" in refused.stderr


def test_command_reports_errors(
    noisy: tuple[Path, Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint(*arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 1  # in this process: starting one takes seconds
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        return message

    picture, labels, _ = noisy
    out = tmp_path / "out.png"
    small, scores, text = tmp_path / "small.png", tmp_path / "scores.npy", tmp_path / "text.npy"
    write_labels(small, np.zeros((4, 6), np.uint8))
    np.save(scores, np.full((2, 40, 60), 3.0))
    text.write_text("no array")
    assert "is 4 x 6, but the photograph" in complaint("densecrf", picture, small, "-o", out)
    assert "values outside 0 to 1" in complaint("densecrf", picture, scores, "-o", out)
    assert "cannot read " in complaint("densecrf", picture, text, "-o", out)
    assert "cannot read image" in complaint("densecrf", tmp_path / "none.jpg", labels, "-o", out)
    assert "cannot read label map" in complaint("densecrf", picture, tmp_path / "none.png", "-o", out)
    assert "must end in .png" in complaint("densecrf", picture, labels, "-o", tmp_path / "out.jpg")
    assert "cannot read" in complaint("densecrf", picture, text, "-o", tmp_path / "none" / "out.png")
    assert not (tmp_path / "none").exists()
    assert "go to a folder, which is not called .png" in complaint("densecrf", tmp_path, tmp_path, "-o", out)
    wrong = {
        "'2' is not a number between 0 and 1": ("--certainty", "2"),
        "bilateral needs 2 positive standard": ("--bilateral", "3", "0", "1"),
        "not a number of classes": ("--num-classes", "1"),
        "'-1' is not a number of mean-field iterations, 0 to 10000": ("--mean-field-iterations", "-1"),
        "two files or two folders": ("--output", out.parent),
    }
    for words, given in wrong.items():
        prediction = picture.parent if "folders" in words else labels
        message = refusal(capsys, "densecrf", picture, prediction, "-o", out, *given)
        assert words in message
        assert "(see crfasrnn densecrf --help)" in message
    assert not out.exists()


def test_folders_names_and_colours(noisy: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    picture, labels, truth = noisy
    for folder, path in (("photos", picture), ("segmented", labels)):
        (tmp_path / folder).mkdir()
        path.rename(tmp_path / folder / path.name)
    (tmp_path / "segmented" / "labels.png").rename(tmp_path / "segmented" / "picture_labels.png")
    (tmp_path / "names.txt").write_text("sky\ntree\n")
    (tmp_path / "colours.txt").write_text("tree #0080ff\n")
    done = crfasrnn(
        "densecrf",
        *(tmp_path / "photos", tmp_path / "segmented", "-o", tmp_path / "out"),
        *("--names", tmp_path / "names.txt", "--colours", tmp_path / "colours.txt"),
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / "out" / "picture.png"), truth)
    colours = np.array(Image.open(tmp_path / "out" / "picture.png").convert("RGB"))
    assert {tuple(colours[truth == label][0].tolist()) for label in (0, 1)} == {(0, 128, 0), (0, 128, 255)}
