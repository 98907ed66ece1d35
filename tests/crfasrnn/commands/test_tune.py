"""`crfasrnn tune`, and what `densecrf` does with what it found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import run

from crfasrnn.commands.main import main
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.search import Sample
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax


def test_command(samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    given = ["--probabilities", tmp_path / "probabilities", "--output", tmp_path / "out", "--processes", "1"]
    options = ["--classes", "0,1", "--coarse", "2", "--fine", "3", "--folds", "2"]
    assert main([str(part) for part in ("tune", *folders, *given, *options)]) == 0
    printed = capsys.readouterr().out
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert f"mean IU with it, chosen on the same images: {100 * best['mean_iu']:.2f} %" in printed
    image, probabilities = samples[0].example.image_path, samples[0].probabilities
    refine = ["densecrf", image, probabilities, "-o", tmp_path / "labels.png", "--settings"]
    assert main([str(part) for part in (*refine, tmp_path / "out" / "best.json")]) == 0
    energies = unary_from_softmax(read_probabilities(probabilities))
    expected = CrfSettings.from_json(best["settings"]).labels(samples[0].example.image(), energies)
    assert np.array_equal(read_labels(tmp_path / "labels.png"), expected)
    assert main([str(part) for part in ("tune", *folders, *given, *options, "--exif", "ignore")]) == 1
    assert "read photographs with --exif 'apply', not 'ignore'" in capsys.readouterr().err
    samples[2].probabilities.unlink()
    assert main([str(part) for part in ("tune", *folders, *given, *options)]) == 1
    assert "no probabilities for 'disc2'" in capsys.readouterr().err


def test_labels_that_are_right_need_no_crf(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sure").mkdir()
    for sample in samples:
        labels = sample.example.labels()
        np.save(
            tmp_path / "sure" / f"{sample.example.name}.npy", np.stack([labels != 1, labels == 1]).astype(np.float32)
        )
    folders = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--probabilities", tmp_path / "sure")
    options = (
        "--classes",
        "0,1",
        "--coarse",
        0,
        "--fine",
        0,
        "--folds",
        2,
        "--processes",
        1,
        "--output",
        tmp_path / "out",
    )
    assert "no CRF that was tried is better than the most probable labels" in run(capsys, "tune", *folders, *options)
