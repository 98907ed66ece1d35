"""What a training shows on the way: mean IU, and warnings and errors before hours are lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score
from support.crfasrnn.training import piece, quiet, slim, weights_of

import caffe
from caffe.proto.model_file import write_model_hdf5
from crfasrnn.datasets import folder
from crfasrnn.datasets.databases import IMAGES, LABELS, read_database, variants, write_databases
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.training import monitors
from crfasrnn.training.train import train


def test_mean_iu_in_the_log_is_that_of_the_network(data: Path, fcn: Path) -> None:
    events = [json.loads(line) for line in (fcn.parent / "log.jsonl").read_text().splitlines()]
    (logged,) = [event for event in events if event["event"] == "validation" and event["iteration"] == 30]
    net = caffe.Net(str(fcn.parent / "deploy.prototxt"), str(fcn), caffe.TEST)
    given, true = [], []
    for (_, image), (_, labels) in zip(read_database(data / "val" / IMAGES), read_database(data / "val" / LABELS)):
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


def test_tests_on_a_few_images_take_the_same_ones_and_the_last_takes_all(data: Path, fcn: Path, tmp_path: Path) -> None:
    """At a rate that moves nothing, tests of the same images give the same scores."""
    train(slim(data, tmp_path, weights=fcn, test_images=1, test_interval=1, steps=4, learning_rate=1e-30), show=quiet)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    *tests, last = [event for event in events if event["event"] == "validation"]
    assert len(tests) == 4
    assert {event["images"] for event in tests} == {1}
    assert len({str(event["per_class_iu"]) for event in tests}) == 1
    assert last["images"] == 3
    assert last["per_class_iu"] != tests[0]["per_class_iu"]


def test_a_flat_loss_is_noticed_once(warnings: list[str]) -> None:
    flat, falling = monitors.FlatLoss(after=20), monitors.FlatLoss(after=20)
    for iteration in range(100):
        flat.add(30000 + iteration % 3)
        falling.add(30000 - 100 * iteration)
    (warning,) = warnings
    assert "The loss is flat: 3e+04 over the first 5 iterations" in warning


def test_one_label_everywhere_is_noticed(warnings: list[str]) -> None:
    names = ("background", "cat")
    assert not monitors.warn_if_one_class(np.array([[5, 1], [3, 0]]), names)
    assert not monitors.warn_if_one_class(np.array([[5, 0], [0, 0]]), names)  # nothing else is there
    assert monitors.warn_if_one_class(np.array([[5, 0], [3, 0]]), names)
    assert len(warnings) == 1
    assert "labelled background" in warnings[0]


def test_the_layer_is_found_where_photographs_differ_in_size(fcn: Path, tmp_path: Path) -> None:
    """Labels of the next photograph would not fit the scores of this one."""
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    for number, height in enumerate((40, 48, 64)):
        image, labels = piece(number, height)
        write_image(tmp_path / "photos" / f"{number}.png", image)
        write_labels(tmp_path / "masks" / f"{number}.png", labels)
    pictures = folder(tmp_path / "photos", tmp_path / "masks")
    write_databases(tmp_path / "data" / "train", variants(pictures, [None], False, 1))
    job = slim(tmp_path / "data", tmp_path / "out", weights=fcn, learning_rate=1e6)
    with pytest.raises(monitors.DivergedError, match="lower the learning rate"):
        train(job, show=quiet)


@pytest.mark.parametrize(
    ("layer", "value", "message"),
    [
        ("conv4_1", np.nan, "the loss is nan. The weights of layer 'conv4_1' are not finite numbers"),
        ("fc6", 3e38, "Layer 'fc6' gives no finite numbers in its top 'fc6', though all weights are finite"),
    ],
    ids=["weights", "top"],
)
def test_what_is_not_a_number_is_found_in_its_layer(
    data: Path, fcn: Path, tmp_path: Path, layer: str, value: float, message: str
) -> None:
    weights = weights_of(fcn)
    weights[layer][0][...] = value
    damaged = tmp_path / "damaged.caffemodel.h5"
    write_model_hdf5(damaged, list(weights), list(weights.values()))
    with pytest.raises(monitors.DivergedError, match=message):
        train(slim(data, tmp_path / "out", weights=damaged), show=quiet)
    assert not list((tmp_path / "out").glob("*.solverstate"))
