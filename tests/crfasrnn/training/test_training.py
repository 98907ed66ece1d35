"""`crfasrnn train`: what it learns, resumes, converts, refuses and warns of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from sklearn.metrics import jaccard_score
from support.training import WIDTH, databases, own_pictures

import caffe
from caffe.errors import CaffeError
from caffe.logs.glog import logger
from caffe.proto import caffe_pb2
from caffe.proto.model_file import read_model, write_model_hdf5
from crfasrnn.commands.main import main
from crfasrnn.datasets.databases import read_database
from crfasrnn.figures.cases import read_curves
from crfasrnn.networks import recipes
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import Options
from crfasrnn.pictures.label_maps import VOC_CLASSES, read_labels
from crfasrnn.training import initial_weights as start
from crfasrnn.training import monitors as watch
from crfasrnn.training.train import Job, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases(tmp_path_factory.mktemp("training"))


@pytest.fixture
def warnings() -> Any:
    """The warnings that the log gets."""
    import logging

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                found.append(record.getMessage())

    found: list[str] = []
    handler = Collect()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def quiet(_: str) -> None:
    """Show nothing."""


def weights_of(path: Path) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.blobs for layer in read_model(path) if layer.blobs}


def same(first: dict[str, list[np.ndarray]], second: dict[str, list[np.ndarray]]) -> set[str]:
    """The layers that are equal bit by bit."""
    assert set(first) == set(second)
    return {name for name in first if all(np.array_equal(a, b) for a, b in zip(first[name], second[name]))}


def slim(data: Path, output: Path, recipe: str = "slim-fcn8s", **more: Any) -> Job:
    options = Options(width=WIDTH, **more.pop("options", {}))
    return Job(recipe, data, output, **{"iterations": 6, "test_interval": 3, "options": options, **more})


@pytest.fixture(scope="module")
def fcn(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny FCN-8s slim."""
    job = slim(data, tmp_path_factory.mktemp("fcn") / "fcn", iterations=30, test_interval=30)
    assert train(job, show=quiet)
    return job.final


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as problem:
        return int(problem.code or 0)


def test_own_pictures_in_five_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    own_pictures(tmp_path, 8)
    source = ("--images", "photos", "--masks", "masks")
    assert run("data", "split", *source, "--output", "own", "--share", "0.25") == 0
    for name in ("train", "val"):
        assert run("data", "lmdb", *source, "--list", f"own/{name}.txt", "--output", f"own/{name}") == 0
    tiny = ("--data", "own", "--width", WIDTH, "--iterations", 10)
    assert run("train", "slim-fcn8s", *tiny, "--scratch") == 0
    assert run("train", "slim-crfrnn", *tiny) == 0
    assert "--model own/slim-crfrnn/deploy.prototxt" in capsys.readouterr().out
    for recipe in ("slim-fcn8s", "slim-crfrnn"):
        assert {path.name for path in Path("own", recipe).iterdir()} == {
            *("train.prototxt", "val.prototxt", "deploy.prototxt", "solver.prototxt", "classes.txt", "job.json"),
            *("final.caffemodel", "log.jsonl", "train.log", "training.png"),
        }
        curves = read_curves(Path("own", recipe, "log.jsonl"))
        assert list(curves.mean_iu) == list(range(1, 11))
    model = ("--model", "own/slim-crfrnn/deploy.prototxt", "--weights", "own/slim-crfrnn/final.caffemodel")
    assert run("segment", "photos/p1.png", *model, "--output", "out") == 0
    assert read_labels("out/p1_labels.png").max() <= 2


def test_mean_iu_in_the_log_is_that_of_the_network(data: Path, fcn: Path) -> None:
    events = [json.loads(line) for line in (fcn.parent / "log.jsonl").read_text().splitlines()]
    (logged,) = [event for event in events if event["event"] == "validation" and event["iteration"] == 30]
    net = caffe.Net(str(fcn.parent / "deploy.prototxt"), str(fcn), caffe.TEST)
    given, true = [], []
    for (_, image), (_, labels) in zip(
        read_database(data / "val" / "image_lmdb"), read_database(data / "val" / "label_lmdb")
    ):
        net.blobs["data"].reshape(1, *image.shape)
        net.blobs["data"].data[0] = image - np.float32([103.939, 116.779, 123.68])[:, None, None]
        scores = net.forward()["coarse"][0]
        given.append(scores.argmax(0)[labels[0] != 255])
        true.append(labels[0][labels[0] != 255])
    a, b = np.concatenate(true), np.concatenate(given)
    assert len(np.unique(b)) > 1  # else the comparison says little
    assert logged["mean_iu"] == pytest.approx(jaccard_score(a, b, average="macro"), abs=1e-9)
    log = (fcn.parent / "train.log").read_text()
    assert f"Iteration 30, mean IU = {logged['mean_iu']:.4f}" in log


def stop_after(checks: int) -> Callable[[], bool]:
    left = [checks]

    def stop() -> bool:
        left[0] -= 1
        return left[0] <= 0

    return stop


def test_an_interrupted_training_ends_where_the_other_does(data: Path, fcn: Path, tmp_path: Path) -> None:
    jobs = [slim(data, tmp_path / name, "slim-crfrnn", weights=fcn) for name in ("whole", "parts")]
    assert train(jobs[0], show=quiet)
    lines: list[str] = []
    assert not train(jobs[1], stop_after(3), lines.append)
    assert not jobs[1].final.exists()
    assert any("the same command goes on" in line for line in lines)
    assert not train(jobs[1], stop_after(3), quiet)
    newest = max(jobs[1].output.glob("*.solverstate"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:100])  # the one before is good
    assert train(jobs[1], show=quiet)
    first, second = (weights_of(job.final) for job in jobs)
    assert same(first, second) == set(first)
    assert same(first, {**first, **weights_of(fcn)}) != set(first)  # it did learn
    assert train(jobs[1], show=quiet)  # done: nothing more to do


def test_another_training_in_the_folder_is_refused(data: Path, fcn: Path) -> None:
    with pytest.raises(CaffeError, match="holds another training: seed 1 there, 2 now"):
        train(slim(data, fcn.parent, iterations=30, seed=2))


def test_a_training_by_other_rates_is_not_gone_on_with(data: Path, fcn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(recipes.RECIPES["slim-fcn8s"], base_lr=0.5)
    monkeypatch.setitem(recipes.RECIPES, "slim-fcn8s", changed)
    with pytest.raises(CaffeError, match=r"holds another training: rates .*0\.0002.* there, .*0\.5.* now"):
        train(slim(data, fcn.parent, iterations=30))


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
    assert train(job, show=quiet)
    after, before = weights_of(job.final), weights_of(fcn)
    assert set(after) - set(before) == {"inference1"}
    crf = after.pop("inference1")
    assert same(before, after) == set(before)
    for blob, start_weight in zip(crf, (3, 5, -1)):
        assert np.abs(blob - start_weight * np.eye(3, dtype=np.float32)).max() > 0


@pytest.mark.parametrize(
    ("variant", "iterations", "shape"),
    [
        ({"kernel_weights": "SHARED", "compatibility": "potts"}, 5, (1, 1, 3, 3)),
        ({"kernel_weights": "PER_CLASS"}, 5, (1, 1, 3, 3)),
        ({"compatibility": "symmetric"}, 5, (1, 1, 3, 3)),
        ({"untied": True}, 4, (4, 1, 3, 3)),
        ({"activation": "RELU"}, 5, (1, 1, 3, 3)),
    ],
    ids=["shared-potts", "per-class", "symmetric", "untied", "relu"],
)
def test_variants_of_the_crf(
    data: Path, fcn: Path, tmp_path: Path, variant: dict[str, Any], iterations: int, shape: tuple[int, ...]
) -> None:
    options = {"variant": Variant(**variant), "iterations": iterations, "robust": iterations == 4}
    job = slim(data, tmp_path / "out", "slim-crfrnn", weights=fcn, iterations=3, options=options)
    assert train(job, show=quiet)
    spatial, bilateral, compatibility = weights_of(job.final)["inference1"]
    assert spatial.shape == bilateral.shape == compatibility.shape == shape
    off = ~np.eye(3, dtype=bool)
    if "kernel_weights" in variant:
        assert not spatial[..., off].any()
        assert not bilateral[..., off].any()
    if variant.get("kernel_weights") == "SHARED":
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
        job = Job(recipe, data, tmp_path / recipe, weights, iterations=2, test_interval=2, options=Options(width=0.01))
        assert train(job, show=quiet)
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


@pytest.mark.parametrize("recipe", ["crfrnn", "slim-crfrnn"])
def test_choosing_classes_is_slicing(tmp_path: Path, recipe: str) -> None:
    options, rng = Options(width=0.02), np.random.default_rng(1)
    nets = {}
    for count in (21, 4):
        path = tmp_path / f"{count}.prototxt"
        definition = recipes.deploy_net(recipes.recipe(recipe), count, options)
        path.write_text(text_format.MessageToString(definition))
        nets[count] = caffe.Net(str(path), caffe.TEST)
    for blobs in nets[21].params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(size=blob.shape)
    source, target = tmp_path / "source.caffemodel", tmp_path / "target.caffemodel.h5"
    nets[21].save(str(source))
    ids = [VOC_CLASSES.index(name) for name in ("background", "dog", "cat")]
    kept = start.class_choice(("background", "dog", "yeti", "cat"), VOC_CLASSES)
    assert kept == [ids[0], ids[1], None, ids[2]]
    initial = {name: [blob.data.copy() for blob in blobs] for name, blobs in nets[4].params.items()}
    start.convert(source, target, nets[4], kept)
    nets[4].copy_from(target)
    known = [0, 1, 3]
    for name, blobs in nets[4].params.items():
        old = nets[21].params[name]
        for index, blob in enumerate(blobs):
            expected = initial[name][index]
            if name.startswith(("conv", "fc", "scale")):
                expected = old[index].data
            elif name == "inference1":
                expected[..., np.array(known)[:, None], known] = old[index].data[..., np.array(ids)[:, None], ids]
            elif name.startswith(("score2", "score4", "upsample")) and recipe == "crfrnn" and blob.data.ndim == 4:
                expected[np.array(known)[:, None], known] = old[index].data[np.array(ids)[:, None], ids]
            else:
                expected[known] = old[index].data[ids]
            np.testing.assert_array_equal(blob.data, expected, err_msg=f"{name} {index}")


def test_a_model_of_other_classes_starts_a_training(data: Path, fcn: Path, tmp_path: Path, warnings: list[str]) -> None:
    from crfasrnn.segmentation.models import Classes

    classes = Classes(("class 2", "class 0"), (2, 0))
    job = slim(data, tmp_path / "out", weights=fcn, classes=classes, iterations=1)
    with pytest.raises(CaffeError, match="label"):  # the data have three
        train(job, show=quiet)
    more = Classes(("class 2", "new", "class 0", "class 1"), (2, 3, 0, 1))
    job = slim(data, tmp_path / "more", weights=fcn, classes=more, iterations=1)
    assert train(job, show=quiet)
    assert any("does not know new: these classes start anew" in line for line in warnings)


def test_other_shapes_are_no_choice_of_classes() -> None:
    with pytest.raises(CaffeError, match=r"x: shape .* was it trained with another recipe"):
        start.take_classes(np.zeros((8, 3, 3, 3)), np.zeros((4, 3, 3, 3)), [0, 9, None, 1], "x")


def test_a_flat_loss_is_noticed_once(warnings: list[str]) -> None:
    flat, falling = watch.FlatLoss(after=20), watch.FlatLoss(after=20)
    for iteration in range(100):
        flat.add(30000 + iteration % 3)
        falling.add(30000 - 100 * iteration)
    (warning,) = warnings
    assert "The loss is flat: 3e+04 over the first 5 iterations" in warning


def test_one_label_everywhere_is_noticed(warnings: list[str]) -> None:
    names = ("background", "cat")
    assert not watch.warn_if_one_class(np.array([[5, 1], [3, 0]]), names)
    assert not watch.warn_if_one_class(np.array([[5, 0], [0, 0]]), names)  # nothing else is there
    assert watch.warn_if_one_class(np.array([[5, 0], [3, 0]]), names)
    assert len(warnings) == 1
    assert "labelled background" in warnings[0]


@pytest.mark.parametrize(
    ("layer", "value", "message"),
    [
        ("conv4_1", np.nan, "the loss is nan. The weights of layer 'conv4_1' are no finite numbers"),
        ("fc6", 3e38, "Layer 'fc6' gives no finite numbers in its top 'fc6', though all weights are finite"),
    ],
    ids=["weights", "top"],
)
def test_what_is_no_number_is_found_in_its_layer(
    data: Path, fcn: Path, tmp_path: Path, layer: str, value: float, message: str
) -> None:
    weights = weights_of(fcn)
    weights[layer][0][...] = value
    damaged = tmp_path / "damaged.caffemodel.h5"
    write_model_hdf5(damaged, list(weights), list(weights.values()))
    with pytest.raises(watch.DivergedError, match=message):
        train(slim(data, tmp_path / "out", weights=damaged), show=quiet)
    assert not list((tmp_path / "out").glob("*.solverstate"))


def test_errors_of_the_command_are_one_line(data: Path, tmp_path: Path, capsys: Any) -> None:
    for arguments, message in (
        (("slim-crfrnn", "--data", tmp_path), "starts from the result of slim-fcn8s"),
        (("slim-fcn8s", "--data", data), "starts from VGG-16's trunk: give it with --weights"),
        (("fcn16s", "--data", data, "--scratch", "--weights", "x"), "--weights or --scratch, not both"),
        (("slim-fcn8s", "--data", data, "--iterations", "0"), "'0' is not a number of steps"),
    ):
        assert run("train", *arguments) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1
