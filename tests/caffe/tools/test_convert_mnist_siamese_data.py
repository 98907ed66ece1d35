"""convert_mnist_siamese_data: pairs of the files' images, labelled by whether they show the same digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.caffe.digits import write_mnist
from support.caffe.image_sets import datums

import caffe
from caffe.proto import text
from caffe.tools import convert_mnist_siamese_data

WORDS = ["mnist/train-images-idx3-ubyte", "mnist/train-labels-idx1-ubyte"]


def test_pairs_are_of_the_files_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = write_mnist(tmp_path / "mnist", {"train": 60}, (2, 3))["train"]
    digit = {image.astype(np.uint8).tobytes(): label for image, label in zip(images, labels)}
    assert convert_mnist_siamese_data.main([*WORDS, "db", "-backend", "lmdb", "-seed", "3"]) == 0
    entries = datums(tmp_path / "db")
    assert [key for key, _ in entries] == [f"{number:08d}" for number in range(60)]
    for _, datum in entries:
        assert (datum.channels, datum.height, datum.width) == (2, 2, 3)
        assert datum.label == (digit[datum.data[:6]] == digit[datum.data[6:]])
    # Drawn with equal chance: one pair in ten, and nearly all images.
    assert 0 < sum(datum.label for _, datum in entries) < 20
    assert len({half for _, datum in entries for half in (datum.data[:6], datum.data[6:])}) > 40
    for seed, same in (("3", True), ("4", False)):
        name = f"again{seed}"
        assert convert_mnist_siamese_data.main([*WORDS, name, "-backend", "lmdb", "-seed", seed]) == 0
        assert (datums(tmp_path / name) == entries) is same


def test_leveldb_is_what_it_writes_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plyvel", reason="the extra leveldb is not installed")
    monkeypatch.chdir(tmp_path)
    write_mnist(tmp_path / "mnist", {"train": 8})
    assert convert_mnist_siamese_data.main([*WORDS, "mnist_siamese_train_leveldb"]) == 0
    net = caffe.Net(
        text.parse_net(
            'layer { name: "pair_data" type: "Data" top: "pair_data" top: "sim" transform_param { scale: 0.00390625 } '
            'data_param { source: "mnist_siamese_train_leveldb" batch_size: 8 } }'
        ),
        caffe.TRAIN,
    )
    net.forward()
    assert net.blobs["pair_data"].shape == (8, 2, 28, 28)
    assert set(net.blobs["sim"].data.tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*WORDS[::-1], "out"], "Incorrect images file magic"),
        ([*WORDS, "out", "-backend=bdb"], "it is lmdb or leveldb"),
        (WORDS, "usage: convert_mnist_siamese_data"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(words: list[str], message: str, complaint, tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", {"train": 20})
    assert message in complaint(convert_mnist_siamese_data.main, words)
