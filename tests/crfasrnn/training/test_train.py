"""Whole trainings: what they learn, resume and refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from support.crfasrnn.training import databases, piece, quiet, same, slim, weights_of

import caffe
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from crfasrnn.classes import write_classes
from crfasrnn.datasets import folder
from crfasrnn.datasets.databases import variants, write_databases
from crfasrnn.networks import recipes
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.training.job import Job
from crfasrnn.training.limits import StoppedError
from crfasrnn.training.train import train


def stopped(job: Job, checks: int, show: Callable[[str], object] = quiet) -> None:
    """Train until it was asked so often whether to stop."""
    left = [checks]

    def stop() -> bool:
        left[0] -= 1
        return left[0] <= 0

    with pytest.raises(StoppedError):
        train(job, stop, show)


def test_an_interrupted_training_ends_where_the_other_does(data: Path, fcn: Path, tmp_path: Path) -> None:
    jobs = [slim(data, tmp_path / name, "slim-crfrnn", weights=fcn) for name in ("whole", "parts")]
    train(jobs[0], show=quiet)
    lines: list[str] = []
    stopped(jobs[1], 3, lines.append)
    assert not jobs[1].final.exists()
    assert any("the same command goes on" in line for line in lines)
    stopped(jobs[1], 3)
    newest = max(jobs[1].output.glob("*.solverstate"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:100])  # the one before is good
    train(jobs[1], show=quiet)
    first, second = (weights_of(job.final) for job in jobs)
    assert same(first, second) == set(first)
    assert same(first, {**first, **weights_of(fcn)}) != set(first)  # it did learn
    train(jobs[1], show=quiet)  # done: nothing more to do


def test_a_finished_training_is_lengthened(data: Path, fcn: Path, tmp_path: Path) -> None:
    """By what genuine Caffe does with a solver state and a larger max_iter; the result so far stays."""
    job = slim(data, tmp_path / "out", "slim-crfrnn", weights=fcn)
    train(job, show=quiet)
    first = job.final.read_bytes()
    state, model = (next(job.output.glob(f"snapshot_iter_6.{kind}")) for kind in ("solverstate", "caffemodel"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (state, model):
        shutil.copy(path, elsewhere)
    lines: list[str] = []
    train(replace(job, weights=None, resumed=True, steps=9), show=lines.append)
    assert "going on from step 6 of 9" in "\n".join(lines)
    assert (job.output / "final_iter_6.caffemodel").read_bytes() == first
    text = (
        (job.output / "solver.prototxt").read_text().replace(str(job.output / "snapshot"), str(elsewhere / "snapshot"))
    )
    (elsewhere / "solver.prototxt").write_text(text)
    solver = caffe.get_solver(str(elsewhere / "solver.prototxt"))
    solver.restore(str(elsewhere / state.name))
    solver.step(3)
    solver.net.save(str(elsewhere / "final.caffemodel"))
    expected = weights_of(elsewhere / "final.caffemodel")
    assert same(expected, weights_of(job.final)) == set(expected)
    assert same(expected, weights_of(job.output / "final_iter_6.caffemodel")) != set(expected)


def test_another_training_in_the_folder_is_refused(data: Path, fcn: Path) -> None:
    with pytest.raises(CaffeError, match="holds another training: seed 1 there, 2 now"):
        train(slim(data, fcn.parent, steps=30, seed=2))


def test_a_training_by_other_rates_is_not_gone_on_with(data: Path, fcn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(recipes.RECIPES["slim-fcn8s"], base_lr=0.5)
    monkeypatch.setitem(recipes.RECIPES, "slim-fcn8s", changed)
    with pytest.raises(CaffeError, match=r"holds another training: base_lr 0\.0002 there, 0\.5 now"):
        train(slim(data, fcn.parent, steps=30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "nothing"}, "no database .*train/image_lmdb': make it with `crfasrnn data lmdb"),
        ({"weights": Path("nothing")}, "weights 'nothing' not found"),
        ({"recipe": "fcn9"}, "no recipe 'fcn9': one of fcn32s"),
        ({"from_classes": (0, 1)}, "--from-classes needs 3 numbers below 3"),
    ],
    ids=["data", "weights", "recipe", "from_classes"],
)
def test_what_is_missing_is_named(data: Path, fcn: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    recipe = changes.pop("recipe", "slim-fcn8s")
    folder = tmp_path / changes.pop("data") if "data" in changes else data
    with pytest.raises(CaffeError, match=message):
        train(slim(folder, tmp_path / "out", recipe, **{"weights": fcn, **changes}))


def test_the_crf_alone_is_learned(data: Path, fcn: Path, tmp_path: Path) -> None:
    job = slim(data, tmp_path / "out", "slim-crf-only", weights=fcn)
    train(job, show=quiet)
    after, before = weights_of(job.final), weights_of(fcn)
    assert set(after) - set(before) == {"inference1"}
    crf = after.pop("inference1")
    assert same(before, after) == set(before)
    for blob, start_weight in zip(crf, (3, 5, -1)):
        assert np.abs(blob - start_weight * np.eye(3, dtype=np.float32)).max() > 0


@pytest.mark.parametrize(
    ("variant", "iterations", "shape"),
    [
        ({"kernel_weights": "shared", "compatibility": "potts"}, 5, (1, 1, 3, 3)),
        ({"kernel_weights": "per_class"}, 5, (1, 1, 3, 3)),
        ({"compatibility": "symmetric"}, 5, (1, 1, 3, 3)),
        ({"untied": True}, 4, (4, 1, 3, 3)),
        ({"activation": "relu"}, 5, (1, 1, 3, 3)),
    ],
    ids=["shared-potts", "per-class", "symmetric", "untied", "relu"],
)
def test_variants_of_the_crf(
    data: Path, fcn: Path, tmp_path: Path, variant: dict[str, Any], iterations: int, shape: tuple[int, ...]
) -> None:
    options = {
        "variant": Variant(**variant),
        "iterations": iterations,
        "loss": "robust" if iterations == 4 else "softmax+lovasz",
    }
    job = slim(data, tmp_path / "out", "slim-crfrnn", weights=fcn, steps=3, options=options)
    train(job, show=quiet)
    spatial, bilateral, compatibility = weights_of(job.final)["inference1"]
    assert spatial.shape == bilateral.shape == compatibility.shape == shape
    off = ~np.eye(3, dtype=bool)
    if "kernel_weights" in variant:
        assert not spatial[..., off].any()
        assert not bilateral[..., off].any()
    if variant.get("kernel_weights") == "shared":
        assert np.ptp(np.diagonal(bilateral[0, 0])) < 1e-5
        assert abs(bilateral[0, 0, 0, 0] - 5) > 1e-7
    if variant.get("compatibility") == "potts":
        np.testing.assert_array_equal(compatibility[0, 0], -np.eye(3))
    if variant.get("compatibility") == "symmetric":
        assert np.abs(compatibility[0, 0] + np.eye(3)).max() > 0
        np.testing.assert_allclose(compatibility[0, 0], compatibility[0, 0].T, atol=1e-7)
    if variant.get("untied"):
        assert np.abs(spatial[0] - spatial[3]).max() > 0
    deploy = text_format.Parse(job.deploy.read_text(), caffe_pb2.NetParameter())
    crf = deploy.layer[-1].multi_stage_meanfield_param
    assert crf.num_iterations == (4 if variant.get("untied") else 10)


def test_the_papers_chain(data: Path, tmp_path: Path, warnings: list[str]) -> None:
    weights = None
    for recipe in ("fcn32s", "fcn16s", "fcn8s", "crfrnn"):
        job = Job(recipe, data, tmp_path / recipe, weights, steps=2, test_interval=2, options=RecipeOptions(width=0.01))
        train(job, show=quiet)
        weights = job.final
        text = [line for line in warnings if "Deconvolution" in line]
        if recipe == "fcn32s":
            assert any("Layer upsample32 (Deconvolution) had all-zero weights" in line for line in text)
            assert any("Training starts from random weights" in line for line in warnings)
            (upsample,) = weights_of(job.final)["upsample32"]
            for row in range(3):
                for column in range(3):
                    assert bool(upsample[row, column].any()) == (row == column)
    solver = text_format.Parse((tmp_path / "crfrnn" / "solver.prototxt").read_text(), caffe_pb2.SolverParameter())
    assert (solver.base_lr, solver.momentum) == (pytest.approx(1e-13), pytest.approx(0.99))
    assert weights is not None
    assert list(weights_of(weights))[-1] == "inference1"


def test_a_training_loads_neither_dense_crf_nor_search_nor_segmenter() -> None:
    program = "import sys, crfasrnn.training.train; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.splitlines())
    assert "crfasrnn.figures.curves" in loaded
    for name in ("densecrf", "postprocessing", "segmentation.segmenter", "figures.cases", "evaluation.evaluate"):
        assert f"crfasrnn.{name}" not in loaded
    assert "matplotlib" not in loaded


def test_labels_of_both_lists_are_checked_before_the_first_step(fcn: Path, tmp_path: Path) -> None:
    data = databases(tmp_path)
    shutil.rmtree(data / "val")
    example = piece(3)
    labels = np.where(example[1] == 2, 7, example[1]).astype(np.uint8)
    write_image(tmp_path / "photos" / "stray.png", example[0])
    write_labels(tmp_path / "masks" / "stray.png", labels)
    strays = folder(tmp_path / "photos", tmp_path / "masks").examples[-1:]
    write_databases(data / "val", variants(strays, [None], False, 1))
    write_classes(data / "classes.txt", ["a", "b", "c"])
    job = slim(data, tmp_path / "out", weights=fcn)
    with pytest.raises(CaffeError, match=r"val/label_lmdb': entry '00000000' holds label 7, but there are 3 classes"):
        train(job, show=quiet)
    assert not list(job.output.glob("*.solverstate"))


def test_a_resumed_training_needs_a_snapshot(data: Path, fcn: Path, tmp_path: Path) -> None:
    job = slim(data, tmp_path / "out", weights=fcn)
    stopped(job, 1)
    for path in job.output.glob("*.solverstate"):
        path.unlink()
    with pytest.raises(CaffeError, match="holds no training to go on with: give --weights or --scratch"):
        train(replace(job, weights=None, resumed=True), show=quiet)


@pytest.mark.parametrize("recipe", ["slim-crf-only", "slim-crfrnn"])
def test_a_resumed_training_keeps_what_was_frozen(data: Path, fcn: Path, tmp_path: Path, recipe: str) -> None:
    """Without being told the weights again, it trains the same layers to the same end."""
    jobs = [slim(data, tmp_path / name, recipe, weights=fcn) for name in ("whole", "parts")]
    train(jobs[0], show=quiet)
    stopped(jobs[1], 3)
    train(replace(jobs[1], weights=None, resumed=True), show=quiet)
    whole, parts = ((job.output / "train.prototxt").read_text() for job in jobs)
    assert whole == parts
    first, second = (weights_of(job.final) for job in jobs)
    assert same(first, second) == set(first)


def test_a_resumed_training_from_scratch_stays_one(data: Path, tmp_path: Path) -> None:
    job = slim(data, tmp_path / "out")
    stopped(job, 2)
    before = (job.output / "train.prototxt").read_text()
    stopped(replace(job, resumed=True), 1)
    assert (job.output / "train.prototxt").read_text() == before
    (job.output / "job.json").write_text("[1]")
    with pytest.raises(CaffeError, match=r"job.json is no note of a training"):
        train(replace(job, resumed=True), show=quiet)
