"""convert_cifar_data: the records of CIFAR-10's six files, numbered through, in two databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.caffe.digits import write_cifar
from support.caffe.image_sets import datums

from caffe.tools import convert_cifar_data


def test_the_databases_hold_the_records(tmp_path: Path) -> None:
    train, test = write_cifar(tmp_path / "cifar", 3)
    assert convert_cifar_data.main([f"{tmp_path}/cifar", str(tmp_path), "lmdb"]) == 0
    for part, records in (("train", train), ("test", test)):
        entries = datums(tmp_path / f"cifar10_{part}_lmdb")
        assert [key for key, _ in entries] == [f"{number:05d}" for number in range(len(records))]
        for (_, datum), record in zip(entries, records, strict=True):
            assert (datum.channels, datum.height, datum.width) == (3, 32, 32)
            assert bytes([datum.label]) + datum.data == record


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "cannot be read: No such file"),
        (lambda file: file.write_bytes(b""), "has 0 bytes; the binary version of CIFAR-10"),
        (lambda file: file.write_bytes(bytes(3074)), "has 3074 bytes; the binary version of CIFAR-10"),
    ],
)
def test_of_two_databases_none_is_left_where_one_cannot_be_made(
    damage, message: str, complaint, tmp_path: Path
) -> None:
    write_cifar(tmp_path / "cifar", 2)
    damage(tmp_path / "cifar" / "test_batch.bin")
    assert f"test_batch.bin: {message}" in complaint(convert_cifar_data.main, ["cifar", ".", "lmdb"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cifar", ".", "bdb"], "it is lmdb or leveldb"),
        (["cifar", "no folder", "lmdb"], "cannot be written"),
        (["cifar", "."], "usage: convert_cifar_data"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(words: list[str], message: str, complaint, tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar", 1)
    assert message in complaint(convert_cifar_data.main, words)
