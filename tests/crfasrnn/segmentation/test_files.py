"""Segmenting files: what is written, under which names, and what is refused before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.datasets import photograph
from support.crfasrnn.models import save_net, with_crf

from crfasrnn import Segmenter
from crfasrnn.classes import Classes
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image
from crfasrnn.segmentation.files import segment_files, write_results
from crfasrnn.segmentation.overlay import overlay
from crfasrnn.segmentation.segmenter import Segmentation


def test_a_result_is_two_pictures_and_an_array_where_there_are_probabilities(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (30, 40)).astype(np.uint8)
    image = np.full((30, 40, 3), 90, np.uint8)
    classes = Classes(("background", "dog"), (0, 12))
    paths = write_results(tmp_path, "a", image, Segmentation(labels, None, classes))
    assert [path.name for path in paths] == ["a_labels.png", "a_overlay.png"]
    np.testing.assert_array_equal(read_labels(paths[0]), labels)
    np.testing.assert_array_equal(read_image(paths[1]), overlay(image, Segmentation(labels, None, classes)))
    planes = np.stack([1 - labels, labels]).astype(np.float32)
    paths = write_results(tmp_path, "b", image, Segmentation(labels, planes, classes))
    np.testing.assert_array_equal(np.load(paths[2]), planes)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a_labels.png", "a_overlay.png", *(path.name for path in paths)]
    )


def test_the_others_are_segmented_and_the_failure_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt, weights = save_net(tmp_path, with_crf)
    photograph(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"?")
    images = [tmp_path / "bad.png", tmp_path / "good.png"]
    assert segment_files(images, tmp_path / "out", str(prototxt), weights) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: cannot read image")
    assert "good.png: " in out
    expected = Segmenter(prototxt, weights).segment(read_image(tmp_path / "good.png")).labels
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "good_labels.png"), expected)
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}]
)
def test_names_that_are_no_text_are_names_all_the_same(tmp_path: Path, environment: dict[str, str]) -> None:
    """OpenCV dies of them."""
    folder = os.fsencode(tmp_path)
    names = [b"caf\xe9", "é".encode()]
    for name in names:
        photograph(tmp_path / "a.png")
        os.rename(folder + b"/a.png", folder + b"/" + name + b".png")
    run = [sys.executable, "-m", "crfasrnn", "segment", *(folder + b"/" + name + b".png" for name in names)]
    result = subprocess.run(
        [*run, b"--output", folder + b"/out", b"--size", b"64"], env={**os.environ, **environment}, capture_output=True
    )
    assert (result.returncode, result.stderr.count(b"error")) == (0, 0)
    wanted = [name + end for name in names for end in (b"_labels.png", b"_overlay.png")]
    assert sorted(os.listdir(folder + b"/out")) == sorted(wanted)
