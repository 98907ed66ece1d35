"""Segmenting files: what is written, under which names, and what is refused before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.crfasrnn.datasets import photograph
from support.crfasrnn.models import save_net, with_crf
from support.warm import python

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
    run = [python(), "-m", "crfasrnn", "segment", *(folder + b"/" + name + b".png" for name in names)]
    result = subprocess.run(
        [*run, b"--output", folder + b"/out", b"--size", b"64"], env={**os.environ, **environment}, capture_output=True
    )
    assert (result.returncode, result.stderr.count(b"error")) == (0, 0)
    wanted = [name + end for name in names for end in (b"_labels.png", b"_overlay.png")]
    assert sorted(os.listdir(folder + b"/out")) == sorted(wanted)


def test_two_processes_write_the_same_bytes_as_one_and_what_is_broken_is_told_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [str(path) for path in save_net(tmp_path, with_crf)]
    images = [tmp_path / "in" / f"{index}.png" for index in range(5)]
    for index, path in enumerate(images):
        photograph(path, 12 + index, 16)
    images[2].write_bytes(images[2].read_bytes()[:100])
    for processes in (1, 2):
        written = segment_files(
            images, tmp_path / f"{processes}", model[0], Path(model[1]), probabilities=True, processes=processes
        )
        out, err = capsys.readouterr()
        assert written == 1
        assert err.splitlines()[-1].startswith(f"error: cannot read image {str(images[2])!r}")
        assert [line.split(":")[0] for line in out.splitlines()] == [str(images[index]) for index in (0, 1, 3, 4)]
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 12
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_what_is_done_is_not_touched_unless_it_would_be_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prototxt, weights = save_net(tmp_path, with_crf)
    images = [tmp_path / "in" / f"{name}.png" for name in "abc"]
    for path in images:
        photograph(path)

    def run(**options: Any) -> list[str]:
        """The photographs whose labels were written."""
        labels = [tmp_path / "out" / f"{path.stem}_labels.png" for path in images]
        before = [path.stat().st_mtime_ns if path.is_file() else 0 for path in labels]
        assert segment_files(images, tmp_path / "out", str(prototxt), weights, processes=1, **options) == 0
        return [
            path.name[0] for path, then in zip(labels, before) if path.is_file() and path.stat().st_mtime_ns != then
        ]

    parts = [run(part=(number, 3)) for number in (1, 2, 3)]
    assert parts == [["a"], ["b"], ["c"]]
    capsys.readouterr()
    assert run() == []
    assert capsys.readouterr().out.startswith("3 images of 3 done already")
    assert run(again=True) == ["a", "b", "c"]
    (tmp_path / "out" / "a_overlay.png").unlink()
    photograph(images[1], 20, 16)
    os.utime(images[1], (0, 0))
    assert run() == ["a", "b"]
    assert run(size=8) == ["a", "b", "c"]
    assert run(size=8, probabilities=True) == ["a", "b", "c"]
    assert run(size=8) == []
