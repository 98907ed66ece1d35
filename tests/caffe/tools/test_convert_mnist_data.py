"""convert_mnist_data: every image and label of MNIST's files under its number."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.caffe.digits import write_mnist
from support.caffe.image_sets import datums

from caffe.tools import convert_mnist_data

WORDS = ["mnist/train-images-idx3-ubyte", "mnist/train-labels-idx1-ubyte", "db"]


@pytest.mark.parametrize("flags", [[], ["--backend=lmdb"]])
def test_the_database_holds_the_digits(flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = write_mnist(tmp_path / "mnist", {"train": 12}, (5, 4))["train"]
    assert convert_mnist_data.main([*WORDS, *flags]) == 0
    entries = datums(tmp_path / "db")
    assert [key for key, _ in entries] == [f"{number:08d}" for number in range(12)]
    for (_, datum), image, label in zip(entries, images, labels, strict=True):
        assert (datum.channels, datum.height, datum.width, datum.label, datum.encoded) == (1, 5, 4, label, False)
        assert list(datum.data) == image.ravel().tolist()
    assert convert_mnist_data.main([*WORDS, *flags]) == 1, "an existing database is not written over"
    assert len(datums(tmp_path / "db")) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([WORDS[1], WORDS[0], "out"], "Incorrect images file magic"),
        (["nowhere", WORDS[1], "out"], "nowhere: cannot be read"),
        ([*WORDS[:2], "no folder/out"], "cannot be written"),
        ([*WORDS[:2], "out", "-backend=bdb"], "it is lmdb or leveldb"),
        (WORDS[:2], "usage: convert_mnist_data"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(words: list[str], message: str, complaint, tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", {"train": 20})
    assert message in complaint(convert_mnist_data.main, words)
