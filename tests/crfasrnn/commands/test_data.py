"""`crfasrnn data` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import crfasrnn, failure, refusal, run
from support.crfasrnn.datasets import (
    labels_of,
    photograph,
)

from crfasrnn.classes import read_classes
from crfasrnn.commands.main import main
from crfasrnn.datasets.databases import read_database
from crfasrnn.pictures.label_maps import write_labels


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """Ten photographs and masks of somebody's own, with three labels."""
    (tmp_path / "masks").mkdir()
    for index in range(10):
        photograph(tmp_path / "photos" / f"p{index}.jpg")
        write_labels(tmp_path / "masks" / f"p{index}.png", labels_of({index: 1, 11: 2}))
    return tmp_path / "photos", tmp_path / "masks"


def test_own_pictures_become_two_pairs_of_databases(own: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    source = ("--images", own[0], "--masks", own[1])
    assert "10 images, 0 problems" in run(capsys, "data", "check", *source)
    assert "val.txt: 3 images" in run(capsys, "data", "split", *source, "--share", 0.3, "--output", tmp_path)
    assert not (tmp_path / "classes.txt").exists()
    (tmp_path / "names.txt").write_text("ground\nline\nshore\n")
    run(capsys, "data", "split", *source, "--share", 0.3, "--output", tmp_path, "--names", tmp_path / "names.txt")
    assert read_classes(tmp_path / "classes.txt").names == ("ground", "line", "shore")
    lists = {name: (tmp_path / f"{name}.txt").read_text().split() for name in ("train", "val")}
    assert sorted(lists["train"] + lists["val"]) == [f"p{index}" for index in range(10)]
    for name, stems in lists.items():
        options = ("--list", tmp_path / f"{name}.txt", "--names", tmp_path / "names.txt", "--output", tmp_path / name)
        out = run(capsys, "data", "lmdb", *source, *options)
        assert "num_output: 3" in out
        assert len(list(read_database(tmp_path / name / "image_lmdb"))) == len(stems)
        found = sorted(
            int(np.argmax(labels[0, :, 0] == 1)) for _, labels in read_database(tmp_path / name / "label_lmdb")
        )
        assert found == sorted(int(stem[1:]) for stem in stems)
        assert read_classes(tmp_path / name / "classes.txt").names == ("ground", "line", "shore")


def test_check_lists_all_problems_and_fails(own: tuple[Path, Path], capsys) -> None:
    (own[1] / "p3.png").unlink()
    (own[0] / "p5.jpg").write_bytes(b"?")
    assert main(["data", "check", "--images", str(own[0]), "--masks", str(own[1])]) == 1
    out, err = capsys.readouterr()
    assert "10 images, 2 problems" in out
    assert [line.split()[0] for line in err.splitlines()] == ["error:", "error:"]
    assert "p3.png' is missing" in err
    assert "p5.jpg" in err
    (own[0].parent / "none.txt").touch()
    options = ("--images", own[0], "--masks", own[1], "--list", own[0].parent / "none.txt")
    assert "none.txt' is empty" in refusal(capsys, "data", "check", *options)


def test_sources_name_addresses_sizes_and_checksums(capsys) -> None:
    out = run(capsys, "data", "sources")
    for words in (
        "VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        "1,419,539,633 bytes",
        "downloads nothing",
    ):
        assert words in out


def test_data_lmdb_says_what_it_wrote(tmp_path: Path, voc: Path) -> None:
    output = tmp_path / "data"
    arguments = ["--voc", voc, "--list", "val", "--classes", "0,8", "--size", "64", "--mirror", "--output", output]
    done = crfasrnn("data", "lmdb", *arguments)
    assert done.returncode == 0, done.stderr
    assert "4 entries from 2 images" in done.stdout
    labels = [label for _, label in read_database(output / "label_lmdb")]
    assert [max(label.shape) for label in labels] == [64] * 4
    assert set(np.unique(np.concatenate([label.ravel() for label in labels]))) == {0, 1, 255}
    assert "exists already" in failure("data", "lmdb", *arguments)
