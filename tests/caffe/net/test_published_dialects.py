"""The published 21-class net in the dialects of 2015, 2016 and 2018 is one network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from support.reference_data import REPOSITORY, TESTS

import caffe

DATA = TESTS / "data" / "published"
DIALECTS = ("crfrnn_2015_v1", "crfrnn_2016", "crfrnn_2018")
OURS = REPOSITORY / "prototxt" / "voc21" / "crfrnn_deploy.prototxt"
HEIGHT, WIDTH = 61, 83


def narrow(source: Path, folder: Path) -> str:
    """The net with 16 instead of 4096 outputs in fc6 and fc7, which says the same about reading at a fraction of the cost."""
    text = source.read_text()
    assert text.count("num_output: 4096") == 2
    (folder / source.name).write_text(text.replace("num_output: 4096", "num_output: 16"))
    return str(folder / source.name)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights of every layer, so small that the scores of 21 classes stay of order one."""
    folder = tmp_path_factory.mktemp("weights")
    net = caffe.Net(narrow(DATA / "crfrnn_2018.prototxt", folder), caffe.TEST)
    rng = np.random.default_rng(0)
    for name, blobs in net.params.items():
        if name == "inference1":
            continue
        fan_in = blobs[0].data[0].size if name not in ("score2", "score4", "upsample") else blobs[0].data[:, 0].size / 4
        blobs[0].data[...] = rng.normal(0, np.sqrt(2 / fan_in), blobs[0].data.shape)
        for bias in blobs[1:]:
            bias.data[...] = rng.normal(0, 0.1, bias.data.shape)
    net.save(str(folder / "model.caffemodel"))
    return str(folder / "model.caffemodel")


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A small photograph, 1 x 3 x H x W, BGR minus the mean."""
    image = skimage.data.cat()[60 : 60 + HEIGHT, 150 : 150 + WIDTH, ::-1]
    data: np.ndarray = (image - np.float32([103.939, 116.779, 123.68])).transpose(2, 0, 1)[None]
    return data


def run(prototxt: str, weights: str, photograph: np.ndarray) -> tuple[caffe.Net, np.ndarray]:
    """The net after a forward pass, and a copy of its output."""
    net = caffe.Net(prototxt, weights, caffe.TEST)
    net.blobs["data"].reshape(*photograph.shape)
    return net, net.forward(data=photograph)["pred"].copy()


@pytest.fixture(scope="module")
def ours(
    weights: str, photograph: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> tuple[caffe.Net, np.ndarray]:
    """Our generated net with those weights."""
    return run(narrow(OURS, tmp_path_factory.mktemp("ours")), weights, photograph)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_computes_what_our_generated_net_computes(
    dialect: str, weights: str, photograph: np.ndarray, ours: tuple[caffe.Net, np.ndarray], tmp_path: Path
) -> None:
    net, pred = run(narrow(DATA / f"{dialect}.prototxt", tmp_path), weights, photograph)
    expected_net, expected = ours
    assert pred.shape == (1, 21, HEIGHT, WIDTH)
    assert len(np.unique(pred.argmax(1))) > 2
    np.testing.assert_array_equal(pred, expected)
    assert list(net.params) == list(expected_net.params)
    assert len(net.params) == 22
    for name, blobs in net.params.items():
        assert [b.data.shape for b in blobs] == [b.data.shape for b in expected_net.params[name]], name
    spatial, bilateral, compatibility = (b.data.reshape(21, 21) for b in net.params["inference1"])
    np.testing.assert_array_equal(spatial, 3 * np.eye(21))
    np.testing.assert_array_equal(bilateral, 5 * np.eye(21))
    np.testing.assert_array_equal(compatibility, -np.eye(21))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_crops_cut_at_5_9_and_31(dialect: str, weights: str, photograph: np.ndarray, tmp_path: Path) -> None:
    net, _ = run(narrow(DATA / f"{dialect}.prototxt", tmp_path), weights, photograph)
    for whole, part, offset in (
        ("score-pool4", "score-pool4c", 5),
        ("score-pool3", "score-pool3c", 9),
        ("bigscore", "coarse", 31),
    ):
        full, cut = net.blobs[whole].data, net.blobs[part].data
        height, width = cut.shape[2:]
        np.testing.assert_array_equal(cut, full[:, :, offset : offset + height, offset : offset + width])
        assert full.std() > 0
