"""What a job finds out from its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.training import own_pictures, slim

from caffe.errors import CaffeError
from crfasrnn.classes import Classes, unnamed_classes, write_classes
from crfasrnn.datasets import folder
from crfasrnn.datasets.databases import variants, write_databases
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.training.job import Job, find_classes


def test_classes_are_those_of_the_file_or_counted_in_the_labels(tmp_path: Path) -> None:
    photos, masks = own_pictures(tmp_path, 2)
    labels = np.zeros((40, 56), np.uint8)
    labels[3, 4], labels[5] = 6, 255
    write_labels(masks / "p1.png", labels)
    write_databases(tmp_path / "data", variants(folder(photos, masks), [None], False, 1))
    job = slim(tmp_path, tmp_path / "out", train_data=tmp_path / "data")
    assert find_classes(job) == unnamed_classes(7)
    write_classes(tmp_path / "data" / "classes.txt", ("background", "dog"))
    assert find_classes(job) == Classes(("background", "dog"), (0, 12))
    with pytest.raises(CaffeError, match=r"no database .*nothing/image_lmdb"):
        find_classes(replace(job, train_data=tmp_path / "nothing"))


def test_all_lists_of_a_data_set_have_the_same_classes(tmp_path: Path) -> None:
    photos, masks = own_pictures(tmp_path, 2)
    for label, name in ((3, "train"), (5, "val")):
        write_labels(masks / "p1.png", np.full((40, 56), label, np.uint8))
        write_databases(tmp_path / name, variants(folder(photos, masks), [None], False, 1))
    job = slim(tmp_path, tmp_path / "out")
    assert find_classes(job) == unnamed_classes(6)  # the last one is in val alone
    write_classes(tmp_path / "classes.txt", "abcdef")
    assert find_classes(job).names == tuple("abcdef")
    write_classes(tmp_path / "val" / "classes.txt", "abcdfe")
    with pytest.raises(CaffeError, match=r"val/classes.txt names other classes than .*/classes.txt"):
        find_classes(job)


def test_one_label_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    photos, masks = own_pictures(tmp_path, 1)
    write_labels(masks / "p0.png", np.full((40, 56), 255, np.uint8))
    write_databases(tmp_path / "train", variants(folder(photos, masks), [None], False, 1))
    with pytest.raises(CaffeError, match=r"all labels of .* are 0 or void"):
        find_classes(slim(tmp_path, tmp_path / "out"))


def test_folders(tmp_path: Path) -> None:
    job = Job("fcn8s", tmp_path, tmp_path / "out")
    assert (job.train_folder, job.val_folder) == (tmp_path / "train", tmp_path / "val")
    assert replace(job, train_data=tmp_path / "x").train_folder == tmp_path / "x"
    assert {path.parent for path in (job.log, job.final, job.deploy)} == {tmp_path / "out"}
