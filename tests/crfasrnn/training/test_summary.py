"""What a training says before its first step."""

from __future__ import annotations

from pathlib import Path

from support.crfasrnn.training import slim

from caffe.solver.solver import get_solver
from crfasrnn.classes import unnamed_classes
from crfasrnn.training.definitions import write_definitions
from crfasrnn.training.summary import opening


def test_data_and_length_are_told(data: Path, tmp_path: Path) -> None:
    many = unnamed_classes(9)
    job = slim(data, tmp_path, steps=40, test_images=2)
    solver = get_solver(str(write_definitions(job, many)))
    assert list(opening(job, many, solver, resumed=False)) == [
        "slim-fcn8s (FCN-8s slim): 9 classes, " + ", ".join(many.names[:8]) + " ...",
        f"training on 6 images of {data / 'train'}, one a step",
        f"testing on 2 of 3 images of {data / 'val'} every 3 steps, on all at the end",
        "40 steps from random weights, learning rate 0.0002",
    ]
    solver.iter = 20
    assert list(opening(job, many, solver, resumed=True))[-1] == (
        f"going on from step 20 of 40, learning rate {2e-4 * 0.5**0.9:.6g}"
    )


def test_without_images_to_test_on_it_says_so(data: Path, tmp_path: Path) -> None:
    job = slim(tmp_path, tmp_path, train_data=data / "train", weights=tmp_path / "any")
    solver = get_solver(str(write_definitions(job, unnamed_classes(3))))
    assert f"no {tmp_path / 'val'}: no mean IU on the way" in list(
        opening(job, unnamed_classes(3), solver, resumed=False)
    )
