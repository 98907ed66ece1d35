"""What a job finds out from its data, and what its folder remembers of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.training import own_pictures, slim

from caffe.errors import CaffeError
from crfasrnn.classes import Classes, numbered_classes, write_classes
from crfasrnn.datasets import folder
from crfasrnn.datasets.databases import variants, write_databases
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.training.job import Job, facts, find_classes


def test_classes_are_those_of_the_file_or_counted_in_the_labels(tmp_path: Path) -> None:
    photos, masks = own_pictures(tmp_path, 2)
    labels = np.zeros((40, 56), np.uint8)
    labels[3, 4], labels[5] = 6, 255
    write_labels(masks / "p1.png", labels)
    write_databases(tmp_path / "data", variants(folder(photos, masks), [None], False, 1))
    assert find_classes(tmp_path / "data") == numbered_classes(7)
    write_classes(tmp_path / "data" / "classes.txt", ("background", "dog"))
    assert find_classes(tmp_path / "data") == Classes(("background", "dog"), (0, 12))
    with pytest.raises(CaffeError, match=r"no database .*nothing/image_lmdb"):
        find_classes(tmp_path / "nothing")


def test_every_choice_is_remembered(tmp_path: Path) -> None:
    weights = tmp_path / "x.caffemodel"
    weights.write_bytes(b"abc")
    job = slim(tmp_path, tmp_path / "out", weights=weights)
    known = facts(job, numbered_classes(3))
    assert known["weights"] == hashlib.sha256(b"()abc").hexdigest()
    assert json.loads(json.dumps(known))["recipe"] == "slim-fcn8s"
    for other in (
        replace(job, recipe="slim-crfrnn"),
        replace(job, train_data=tmp_path / "other"),
        replace(job, weights=None),
        replace(job, iterations=7),
        replace(job, seed=2),
        replace(job, options=RecipeOptions(variant=Variant(untied=True))),
        replace(job, precision="bf16"),
    ):
        assert facts(other, numbered_classes(3)) != known
    assert facts(job, numbered_classes(4)) != known
    assert facts(replace(job, output=tmp_path / "elsewhere", test_interval=1), numbered_classes(3)) == known


def test_folders(tmp_path: Path) -> None:
    job = Job("fcn8s", tmp_path, tmp_path / "out")
    assert (job.train_folder, job.val_folder) == (tmp_path / "train", tmp_path / "val")
    assert replace(job, train_data=tmp_path / "x").train_folder == tmp_path / "x"
    assert {path.parent for path in (job.log, job.final, job.deploy)} == {tmp_path / "out"}
