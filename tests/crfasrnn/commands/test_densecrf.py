"""`crfasrnn densecrf` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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
    done = crfasrnn("densecrf", picture, labels, "-o", tmp_path / "out.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert np.array_equal(read_labels(tmp_path / "out.png"), truth)
    given = read_labels(labels)
    known = np.where(given == 255, 0, given)
    one = np.where(given == 255, 0.5, np.where(known == 1, 0.7, 0.3))
    np.save(tmp_path / "probabilities.npy", np.stack([1 - one, one]).astype(np.float32))
    options = ["--iterations", "5", "--bilateral", "40", "10", "8", "--spatial", "2", "3"]
    done = crfasrnn("densecrf", picture, tmp_path / "probabilities.npy", "-o", tmp_path / "two.png", *options)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / "two.png"), truth)


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
    assert "gt_prob" in complaint("densecrf", picture, labels, "-o", out, "--certainty", "2")
    assert "bilateral needs 2 positive standard" in complaint(
        "densecrf", picture, labels, "-o", out, "--bilateral", "3", "0", "1"
    )
    assert "not a number of classes" in refusal(capsys, "densecrf", picture, labels, "-o", out, "--classes", "1")
    assert not out.exists()
    message = refusal(capsys, "densecrf", picture, labels, "-o", out, "--iterations", "0")
    assert "--iterations: '0' is not a whole number, 1 to 65536" in message
