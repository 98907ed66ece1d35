"""The prototxts of a training: the recipe's nets and numbers with the job's files and choices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.crfasrnn.training import slim

from caffe.proto import caffe_pb2
from crfasrnn.classes import read_classes, unnamed_classes
from crfasrnn.networks import recipes
from crfasrnn.training import definitions
from crfasrnn.training.definitions import write_definitions
from crfasrnn.training.job import Job


def written(folder: Path, name: str) -> Any:
    """A prototxt as a message."""
    message = caffe_pb2.SolverParameter() if name == "solver" else caffe_pb2.NetParameter()
    return text_format.Parse((folder / f"{name}.prototxt").read_text(), message)


def definition(job: Job) -> Any:
    """The solver's."""
    return written(write_definitions(job, unnamed_classes(3)).parent, "solver")


def test_the_solver_is_the_recipes_with_the_jobs_numbers(data: Path, tmp_path: Path) -> None:
    job = slim(data, tmp_path, weights=tmp_path / "any", steps=50, test_interval=7, seed=9)
    assert write_definitions(job, unnamed_classes(3)) == tmp_path / "solver.prototxt"
    solver = written(tmp_path, "solver")
    assert solver.base_lr == pytest.approx(recipes.RECIPES["slim-fcn8s"].base_lr)
    assert (solver.max_iter, solver.test_interval, solver.random_seed) == (50, 7, 9)
    assert solver.snapshot == 25  # an interrupted training has one to go on from
    assert list(solver.test_iter) == [3]  # every image of val once
    assert list(definition(replace(job, test_images=2)).test_iter) == [2]
    assert definition(replace(job, snapshot_interval=4)).snapshot == 4
    assert definition(replace(job, learning_rate=0.5)).base_lr == 0.5
    assert [solver.train_net, *solver.test_net] == [str(tmp_path / f"{name}.prototxt") for name in ("train", "val")]
    assert read_classes(tmp_path / "classes.txt") == unnamed_classes(3)
    recipe = recipes.recipe("slim-fcn8s")
    assert written(tmp_path, "train") == recipes.train_net(recipe, 3, job.options, str(data / "train"))
    assert written(tmp_path, "deploy") == recipes.deploy_net(recipe, 3, job.options)


def test_tests_on_the_way_cost_less_than_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "count_entries", lambda folder: 400)
    for steps, images in ((40, 10), (1000, 75), (8000, 400)):
        solver = definition(slim(data, tmp_path, steps=steps, test_interval=None))
        assert (solver.test_interval, list(solver.test_iter)) == (steps // 10, [images])


def test_without_validation_images_there_is_no_test_net(data: Path, tmp_path: Path) -> None:
    job = slim(tmp_path / "nothing", tmp_path, train_data=data / "train", weights=tmp_path / "any")
    solver = written(write_definitions(job, unnamed_classes(3)).parent, "solver")
    assert not solver.test_net
    assert not solver.HasField("test_interval")
    assert not (tmp_path / "val.prototxt").exists()


def test_from_nothing_every_convolution_is_filled_and_learns(data: Path, tmp_path: Path) -> None:
    for weights, learns in ((tmp_path / "any", False), (None, True)):
        write_definitions(slim(data, tmp_path, weights=weights), unnamed_classes(3))
        convolutions = [layer for layer in written(tmp_path, "train").layer if layer.type == "Convolution"]
        (first,) = [layer for layer in convolutions if layer.name == "conv1_1"]
        assert first.convolution_param.HasField("weight_filler") == learns
        assert all(param.lr_mult > 0 for layer in convolutions for param in layer.param) == learns
