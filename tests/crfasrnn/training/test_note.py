"""What a folder remembers of its training."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.crfasrnn.training import slim

from caffe.errors import CaffeError
from crfasrnn.classes import unnamed_classes
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RECIPES, RecipeOptions
from crfasrnn.training.note import NOTE, check_note, facts, lengthens, planned_steps, starts_from_scratch, write_note

THREE = unnamed_classes(3)


def test_every_choice_is_remembered(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "x.caffemodel"
    weights.write_bytes(b"abc")
    job = slim(data, tmp_path / "out", weights=weights)
    known = facts(job, unnamed_classes(3))
    assert known["weights"] == hashlib.sha256(b"()abc").hexdigest()
    assert json.loads(json.dumps(known))["recipe"] == "slim-fcn8s"
    for other in (
        replace(job, recipe="slim-crfrnn"),
        replace(job, train_data=data / "val"),
        replace(job, weights=None),
        replace(job, steps=7),
        replace(job, learning_rate=1e-3),
        replace(job, seed=2),
        replace(job, options=RecipeOptions(variant=Variant(untied=True))),
        replace(job, precision="bf16"),
    ):
        assert facts(other, unnamed_classes(3)) != known
    assert facts(job, unnamed_classes(4)) != known
    assert facts(replace(job, output=tmp_path / "elsewhere", test_interval=1), unnamed_classes(3)) == known


def test_more_steps_lengthen_a_training_and_fewer_are_another(data: Path, tmp_path: Path) -> None:
    (tmp_path / "snapshot_iter_6.solverstate").touch()
    job = slim(data, tmp_path, steps=None)
    assert planned_steps(job) == RECIPES[job.recipe].steps == 3500
    first = replace(job, steps=6)
    write_note(first, check_note(first, THREE), 0)
    assert planned_steps(job) == 6  # not to be told again
    assert not lengthens(job)
    longer = replace(job, steps=9)
    assert lengthens(longer)
    write_note(longer, check_note(longer, THREE), 6)
    assert json.loads((tmp_path / NOTE).read_text())["lengthened"] == [{"at": 6, "steps": 9}]
    assert not lengthens(longer)
    for same in (longer, job):
        check_note(same, THREE)
    with pytest.raises(CaffeError, match="holds another training: steps 9 there, 6 now"):
        check_note(first, THREE)
    with pytest.raises(CaffeError, match="holds another training: seed 1 there, 2 now"):
        check_note(replace(longer, steps=12, seed=2), THREE)


def test_going_on_needs_no_weights(data: Path, tmp_path: Path) -> None:
    (tmp_path / "snapshot_iter_6.solverstate").touch()
    job = slim(data, tmp_path)
    with pytest.raises(CaffeError, match="holds no training to go on with: give --weights or --scratch"):
        facts(replace(job, resumed=True), THREE)
    (tmp_path / "x.caffemodel").write_bytes(b"abc")
    begun = replace(job, weights=tmp_path / "x.caffemodel")
    write_note(begun, check_note(begun, THREE), 0)
    assert facts(replace(job, resumed=True), THREE) == facts(begun, THREE)
    assert starts_from_scratch(job)
    assert not starts_from_scratch(replace(job, resumed=True))


@pytest.mark.parametrize("content", ["[1]", "{}", '{"weights": null, "steps": "x", "lengthened": []}', "{"])
def test_a_damaged_note_is_told(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "final.caffemodel").touch()
    (tmp_path / NOTE).write_text(content)
    with pytest.raises(CaffeError, match=NOTE):
        check_note(slim(data, tmp_path), THREE)


def test_the_data_are_told_by_what_they_hold(data: Path, tmp_path: Path) -> None:
    job = slim(data, tmp_path / "out")
    shutil.copytree(data, tmp_path / "moved")
    assert facts(replace(job, data=tmp_path / "moved"), THREE) == facts(job, THREE)
    shutil.rmtree(tmp_path / "moved" / "train")
    shutil.copytree(data / "val", tmp_path / "moved" / "train")
    assert facts(replace(job, data=tmp_path / "moved"), THREE) != facts(job, THREE)


def test_differences_are_named_one_by_one(data: Path, tmp_path: Path) -> None:
    (tmp_path / "final.caffemodel").touch()
    job = slim(data, tmp_path)
    write_note(job, check_note(job, THREE), 0)
    wide = replace(job, options=replace(job.options, width=0.5))
    with pytest.raises(CaffeError, match=r"another training: width 0\.05 there, 0\.5 now"):
        check_note(wide, THREE)
    (tmp_path / "x.caffemodel").touch()
    with pytest.raises(
        CaffeError, match="holds a training that began with other weights: leave --weights and --scratch out"
    ):
        check_note(replace(job, weights=tmp_path / "x.caffemodel"), THREE)
    (tmp_path / "final.caffemodel").unlink()
    check_note(wide, THREE)  # nothing is left of the other
