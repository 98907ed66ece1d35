"""Whole tables: their figures against independent ones, and what ablations and iterations add."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score
from support.commands import status
from support.crfasrnn.datasets import make_context
from support.crfasrnn.reproduction import CLASSES, LISTS, SEEDS, settings_of, table_of
from support.crfasrnn.training import WIDTH

from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.reproduction.experiments import of_table


def test_figures_are_those_of_the_saved_labels(voc: Path, output: Path) -> None:
    rows = table_of(output, "table1")["rows"]
    names = ["plain", "plain-published", "plain-dense", "longer", "longer-dense", "untrained", "crf-only", "crfrnn"]
    assert [row["name"] for row in rows] == names
    scores = []
    for row in rows:
        for label, run in row["runs"].items():
            truth, given = [], []
            for name in LISTS["val"]:
                labels = read_labels(voc / "SegmentationClass" / f"{name}.png")
                result = read_labels(output / "scores" / "labels" / f"{row['name']}-{label}" / f"{name}.png")
                truth.append(np.searchsorted(CLASSES, labels[labels != 255]))
                given.append(result[labels != 255])
            expected = jaccard_score(np.concatenate(truth), np.concatenate(given), average="macro", zero_division=0)
            assert run["mean_iu"] == pytest.approx(expected, abs=1e-9)
            scores.append(expected)
        assert row["mean_iu"] == pytest.approx(np.mean(scores[-len(row["runs"]) :]))
    assert len({round(score, 6) for score in scores}) > 2  # the methods do differ


def test_the_other_tables(output: Path, tmp_path: Path) -> None:
    """One training of each; one that diverges does not take the table with it."""
    output, one = shutil.copytree(output, tmp_path / "out"), ("--seeds", "1", "--threads", 1)
    assert status("reproduce", "ablations", "--output", output, "--variants", "relu,untied", *one) == 0
    content = table_of(output, "ablations")
    shown = {row["title"] for row in content["rows"]} | set(content["diverged"])
    assert {item.title for item in of_table("ablations", ["relu", "untied"])} <= shown
    assert {f"T = {count} in testing" for count in (1, 2, 5, 10, 15)} <= shown
    assert status("reproduce", "iterations", "--output", output, *one) == 0
    rows = table_of(output, "iterations")["rows"]
    assert [row["name"] for row in rows] == [f"test-t{count}" for count in range(1, 21)]
    assert rows[9]["mean_iu"] == pytest.approx(content["rows"][0]["mean_iu"], abs=1e-3)
    assert (output / "iterations.png").is_file()


def test_losses_and_rates_are_compared_on_held_out_images(voc: Path, output: Path, tmp_path: Path) -> None:
    output = shutil.copytree(output, tmp_path / "out")
    chosen = ("--variants", "alone-robust", "--seeds", "1", "--threads", 1)
    assert status("reproduce", "schedules", "--output", output, *chosen) == 0
    rows = table_of(output, "schedules")["rows"]
    assert [row["name"] for row in rows] == ["plain", "longer", "alone-robust"]
    images = {path.stem for path in (output / "scores-held-out" / "labels" / "alone-robust-1.1").glob("*.png")}
    assert images == {example.name for example in settings_of(voc).training()[1]}


def test_archives_for_vocs_server(voc: Path, output: Path, tmp_path: Path) -> None:
    output = shutil.copytree(output, tmp_path / "out")
    assert status("reproduce", "table2", "--output", output, *SEEDS, "--threads", 1) == 0
    page = (output / "table2.md").read_text()
    assert "| CRF-RNN with COCO | 75.7 | 75.0 | 74.7 |" in page
    assert "| FCN-8s | - | 62.7 | 62.2 |" in page
    for name, row in (("plain", "plain-1"), ("crfrnn", "crfrnn-1.1")):
        assert f"`table2_{name}.tgz`" in page
        with tarfile.open(output / f"table2_{name}.tgz") as archive:
            for image in LISTS["val"]:
                file = archive.extractfile(f"results/VOC2012/Segmentation/comp6_test_cls/{image}.png")
                assert file is not None
                (tmp_path / "given.png").write_bytes(file.read())
                ours = read_labels(output / "scores" / "labels" / row / f"{image}.png")
                np.testing.assert_array_equal(read_labels(tmp_path / "given.png"), np.array(CLASSES)[ours])


def test_pascal_context(tmp_path: Path, capsys: Any) -> None:
    """Table 3 on a miniature of it: five classes in ten photographs."""
    rng = np.random.default_rng(0)
    maps = {f"c{i}": np.kron(rng.integers(1, 7, (5, 7)), np.ones((8, 8), int)) for i in range(10)}
    context, photographs = make_context(tmp_path, maps)
    (photographs / "ImageSets" / "Main" / "val.txt").write_text("c8\nc9\n")
    (photographs / "ImageSets" / "Main" / "train.txt").write_text("".join(f"c{i}\n" for i in range(8)))
    short = ("--fcn-steps", 2, "--crf-steps", 2, "--width", WIDTH, "--seeds", "1", "--threads", 1)
    data = ("--voc", photographs, "--context", context, "--list", "train", "--held-out", 2, "--scratch")
    out = ("--output", tmp_path / "out")
    assert status("reproduce", "table3", *out, *data, "--train-size", "56", "--size", 56, *short) == 0
    content = table_of(tmp_path / "out", "table3")
    assert content["classes"] == ["background", "cat", "diningtable", "bedcloth", "clothes"]
    assert (content["images"]["training"], content["images"]["scored"]) == (6, 2)
    assert [row["name"] for row in content["rows"]] == ["plain", "plain-published", "longer", "crfrnn"]
    assert "FCN-8s 37.78, CRF-RNN 39.28" in (tmp_path / "out" / "table3.md").read_text()
    capsys.readouterr()
    assert status("reproduce", "table1", *out, "--seeds", "1") == 1
    assert "table3 is of Pascal Context, and nothing else is" in capsys.readouterr().err
