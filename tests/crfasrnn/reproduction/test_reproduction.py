"""`crfasrnn reproduce` on a miniature of VOC: what is trained on what, the figures against independent ones, and resuming."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from sklearn.metrics import jaccard_score
from support.training import WIDTH, piece

import caffe
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.model_file import read_model, write_model_hdf5
from crfasrnn.commands.main import main
from crfasrnn.commands.reproduce import STOPPED
from crfasrnn.datasets.databases import read_database
from crfasrnn.evaluation.bootstrap import ImageConfusions, compare
from crfasrnn.networks import recipes
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.reproduction import experiments as plan
from crfasrnn.reproduction.experiments import Settings
from crfasrnn.reproduction.scoring import Scorer, _Sweep
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.training.job import Job

CLASSES = (0, 8, 15)
NAMES = [f"i{number:02}" for number in range(12)]
LISTS = {"train": NAMES[:5], "train_sbd": NAMES[5:8], "val": NAMES[8:]}


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as problem:
        return int(problem.code or 0)


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like VOC2012 with twelve images of three classes."""
    root = tmp_path_factory.mktemp("voc") / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image, labels = piece(number)
        write_image(root / "JPEGImages" / f"{name}.jpg", image)
        write_labels(root / "SegmentationClass" / f"{name}.png", np.array([*CLASSES, *[255] * 253], np.uint8)[labels])
    for name, members in LISTS.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("".join(f"{member}\n" for member in members))
    return root


def random_weights(path: Path) -> Path:
    """A model file for FCN-8s slim whose scores differ from pixel to pixel, unlike those of a training's start."""
    net = recipes.deploy_net(recipes.recipe("slim-fcn8s"), len(CLASSES), RecipeOptions(width=WIDTH))
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.weight_filler.type = "msra"
    definition = path.with_suffix(".prototxt")
    definition.write_text(text_format.MessageToString(net))
    caffe.set_random_seed(5)
    caffe.Net(str(definition), caffe.TEST).save(str(path))
    return path


def first_call(voc: Path, output: Path) -> list[object]:
    """The options of the first call."""
    weights = random_weights(output.parent / "random.caffemodel")
    return [
        *(
            "--output",
            output,
            "--voc",
            voc,
            "--weights",
            weights,
            "--classes",
            "0,8,15",
            "--held-out",
            2,
            "--scales",
            "40,56",
        ),
        *("--size", 56, "--fcn-iterations", 1, "--crf-iterations", 2, "--tune-settings", "2,2", "--width", WIDTH),
        *("--threads", 1),
    ]


@pytest.fixture(scope="module")
def output(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with table 1, made in two pieces: the first call's time is over at once."""
    folder = tmp_path_factory.mktemp("reproduce") / "out"
    assert run("reproduce", "table1", *first_call(voc, folder), "--budget-minutes", 0) == STOPPED
    assert not (folder / "table1.md").exists()
    assert run("reproduce", "table1", "--output", folder, "--threads", 1, "--write-docs", folder / "RESULTS.md") == 0
    return folder


def table(output: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / f"{name}.json").read_text())
    return content


def test_figures_are_those_of_the_saved_labels(voc: Path, output: Path) -> None:
    rows = table(output, "table1")["rows"]
    assert [row["name"] for row in rows] == ["fcn8s", "fcn8s-dense", "longer", "longer-dense", "crfrnn"]
    scores = []
    for row in rows:
        for seed in ("1", "2"):
            truth, given = [], []
            for name in LISTS["val"]:
                labels = read_labels(voc / "SegmentationClass" / f"{name}.png")
                result = read_labels(output / "scores" / "labels" / f"{row['name']}-seed{seed}" / f"{name}.png")
                truth.append(np.searchsorted(CLASSES, labels[labels != 255]))
                given.append(result[labels != 255])
            expected = jaccard_score(np.concatenate(truth), np.concatenate(given), average="macro", zero_division=0)
            assert row["seeds"][seed]["mean_iu"] == pytest.approx(expected, abs=1e-9)
            scores.append(expected)
        assert row["mean_iu"] == pytest.approx(np.mean(scores[-2:]))
    assert len({round(score, 6) for score in scores}) > 2  # the methods do differ


def test_page_of_results_shows_the_pictures(output: Path) -> None:
    shown = re.findall(r"^!\[.+\]\(results/(\S+)\)$", (output / "RESULTS.md").read_text(), re.MULTILINE)
    assert shown == ["table1_cases.png", "table1_crf.png", "table1_training.png", "table1.png"]
    for name in shown:
        assert (output / "results" / name).read_bytes() == (output / name).read_bytes()
        assert cv2.imread(str(output / name)) is not None


def test_differences_are_the_paired_bootstraps(output: Path) -> None:
    items = {(item["first"], item["second"]): item for item in table(output, "table1")["differences"]}
    assert ("longer", "crfrnn") in items
    for (first, second), item in items.items():
        a, b = (ImageConfusions.load(output / "scores" / f"{name}-seed2.npz") for name in (first, second))
        expected = compare(a, b)
        assert item["seeds"]["2"]["difference"] == pytest.approx(expected.difference)
        assert (item["seeds"]["2"]["low"], item["seeds"]["2"]["high"]) == (expected.low, expected.high)


def test_the_page_shows_ours_and_the_papers(output: Path) -> None:
    page = (output / "table1.md").read_text()
    rows = table(output, "table1")["rows"]
    for row, ours in ((rows[0], "61.3 | 68.3"), (rows[1], "63.7 | 69.5"), (rows[4], "69.6 | 72.9")):
        cells = " | ".join(f"{100 * row['seeds'][seed]['mean_iu']:.2f}" for seed in ("1", "2"))
        assert f"| {row['title']} | {cells} | {100 * row['mean_iu']:.2f} | {ours} |" in page
    assert "mean IU within so many pixels of void" in page
    assert page.split("\n", 1)[1] in (output / "RESULTS.md").read_text()
    for name in ("table1.png", "table1_training.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_mistyped_path_is_one_error_and_is_not_kept(voc: Path, tmp_path: Path, capsys: Any, dry: list[str]) -> None:
    cases = (
        (tmp_path / "nope", "--scratch", "'train'|'val'"),
        (voc, "--weights=no.npz", "no weights 'no.npz'"),
        (voc, "--scratch", "'train' has 5 images, too few to hold 60 out"),
    )
    for where, weights, words in cases:
        assert run("reproduce", "table1", "--voc", where, weights, "--output", tmp_path / "out", *dry) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert re.search(words, error)
        assert not (tmp_path / "out").exists()


def test_the_comparison_is_fair(output: Path) -> None:
    """FCN-8s trained on and CRF-RNN start from the same weights and take the same steps on the same images."""
    solvers = []
    for name in ("longer-seed1", "crfrnn-seed1"):
        text = (output / name / "solver.prototxt").read_text().replace(name, "x")
        solvers.append(text_format.Parse(text, caffe_pb2.SolverParameter()))
    assert solvers[0] == solvers[1]
    jobs = [json.loads((output / name / "job.json").read_text()) for name in ("longer-seed1", "crfrnn-seed1")]
    assert jobs[0].pop("recipe") != jobs[1].pop("recipe")
    rates = [job.pop("rates") for job in jobs]
    assert rates[0] == {"base_lr": rates[1]["base_lr"]}
    assert jobs[0] == jobs[1]


def test_seeds_see_the_images_in_another_order_and_none_that_is_held_out(voc: Path, output: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    fit, held = settings.training()
    assert {example.name for example in fit} | {example.name for example in held} == {
        *LISTS["train"],
        *LISTS["train_sbd"],
    }
    assert len(held) == 2
    assert {example.name for example in held} < set(LISTS["train"])
    orders = []
    for seed in (1, 2):
        entries = [image.tobytes() for _, image in read_database(output / "data" / f"train-seed{seed}" / "image_lmdb")]
        assert len(entries) == 6 * 2 * 2
        orders.append(entries)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_the_dense_crf_is_tuned_on_the_held_out_images(voc: Path, output: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    folder = output / "scores" / "fcn8s-dense-seed1-search"
    names = {path.stem for path in (folder / "probabilities").glob("*.npy")}
    assert names == {example.name for example in settings.training()[1]}
    CrfSettings.read(folder / "best.json")


def test_again_nothing_is_trained(output: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")}
    assert len(before) == 6
    page = (output / "table1.md").read_text()
    assert run("reproduce", "table1", "--output", output, "--threads", 1) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("final.caffemodel")} == before
    assert (output / "table1.md").read_text() == page
    capsys.readouterr()
    assert run("reproduce", "table1", "--output", output, "--dry-run") == 0
    assert capsys.readouterr().out.count(": done\n") == 6
    assert run("reproduce", "ablations", "--output", output, "--dry-run", "--seeds", "1") == 0
    out = capsys.readouterr().out
    assert re.search(r"untied-seed1: slim-crfrnn, 2 steps, 0 minutes at \S+ steps/s \((measured|assumed)\)", out)
    few = ("reproduce", "ablations", "--output", output, "--dry-run", "--seeds", "1", "--variants")
    assert run(*few, "potts,untied") == 0
    assert set(re.findall(r"(\S+)-seed1:", capsys.readouterr().out.replace(f"{output}/", ""))) == {
        "fcn8s",
        "crfrnn",
        "potts",
        "untied",
    }
    assert run(*few, "pots") == 1
    assert "no variant 'pots': one of shared, per-class" in capsys.readouterr().err


def test_other_settings_are_refused(output: Path, capsys: Any) -> None:
    assert run("reproduce", "table1", "--output", output, "--held-out", 1) == 1
    assert re.search(
        r"error: .* holds experiments with held_out 2, now 1: leave the option out", capsys.readouterr().err
    )
    assert run("reproduce", "table1", "--output", output.parent / "new") == 1
    assert "the first time, give --voc VOC2012 and --weights" in capsys.readouterr().err


def test_validation_images_must_not_be_trained_on(voc: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, train_lists=("train", "val"), held_out=2)
    with pytest.raises(CaffeError, match="'i08' is in the training lists and in 'val'"):
        settings.training()


def test_ablations_and_iterations(output: Path) -> None:
    """One seed of each; a training that diverges does not take the table with it."""
    assert run("reproduce", "ablations", "--output", output, "--seeds", "1", "--threads", 1) == 0
    content = table(output, "ablations")
    shown = {row["title"] for row in content["rows"]} | set(content["diverged"])
    assert {experiment.title for experiment in plan.ABLATIONS} <= shown
    assert {f"T = {count} in testing" for count in (1, 2, 5, 10, 15)} <= shown
    assert run("reproduce", "iterations", "--output", output, "--seeds", "1", "--threads", 1) == 0
    rows = table(output, "iterations")["rows"]
    assert [row["name"] for row in rows] == [f"test-t{count}" for count in range(1, 21)]
    end_to_end = content["rows"][0]["seeds"]["1"]["mean_iu"]
    assert rows[9]["seeds"]["1"]["mean_iu"] == pytest.approx(end_to_end, abs=1e-3)
    assert (output / "iterations.png").is_file()


def test_a_sweep_gives_what_nets_with_so_many_iterations_give(voc: Path, output: Path, tmp_path: Path) -> None:
    """With strong random weights, so that the iterations differ."""
    rng = np.random.default_rng(0)
    layers = [layer for layer in read_model(output / "crfrnn-seed1" / "final.caffemodel") if layer.blobs]
    for layer in layers:
        if layer.name == "inference1":
            layer.blobs = [blob + rng.normal(0, 1, blob.shape).astype(np.float32) for blob in layer.blobs]
    job = Job("slim-crfrnn", tmp_path, tmp_path, options=RecipeOptions(width=WIDTH))
    weights = job.final.with_suffix(".caffemodel")
    write_model_hdf5(weights, [layer.name for layer in layers], [layer.blobs for layer in layers])
    (tmp_path / "classes.txt").write_text("0 background\n8 cat\n15 person\n")
    image, _ = piece(9)
    found = list(_Sweep(job, 56, 3)(image, 6))
    for count in (1, 2, 3, 6):
        definition = tmp_path / f"t{count}.prototxt"
        options = RecipeOptions(width=WIDTH, deploy_iterations=count)
        net = recipes.deploy_net(recipes.recipe("slim-crfrnn"), 3, options)
        definition.write_text(text_format.MessageToString(net))
        expected = Segmenter(str(definition), weights, size=56).segment(image).labels
        assert np.mean(found[count - 1] != expected) < 0.001
    assert np.mean(found[0] != found[5]) > 0.005


def test_a_method_is_stopped_between_images(voc: Path, output: Path, tmp_path: Path) -> None:
    from crfasrnn.reproduction.scoring import StoppedError

    settings = Settings(str(voc), None, classes=CLASSES, held_out=2)
    job = plan.job(output, settings, plan.END_TO_END, 1)
    with pytest.raises(StoppedError):
        Scorer(tmp_path, settings.validation(), 56, lambda: True).network("x", job)
    assert not (tmp_path / "x.json").exists()
