"""Files of arrays are written whole or not at all, and say what they are where they are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from caffe.proto import binary_file, caffe_pb2, model_file
from caffe.proto.wire import DamagedError


def test_writing_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = caffe_pb2.NetParameter(layer=[{"name": "a"}])
    with pytest.raises(CaffeError, match="1 layers, but parameters for 2"):
        model_file.write_model(tmp_path / "m", net, [[], []])
    with pytest.raises(CaffeError, match="cannot be written"):
        model_file.write_model(tmp_path / "none" / "m", net, [[]])
    (tmp_path / "m").write_text("old")
    monkeypatch.setattr(binary_file, "_MAX_PROTOBUF", 50)
    with pytest.raises(CaffeError, match="HDF5 instead"):
        model_file.write_model(tmp_path / "m", net, [[np.zeros(100)]])
    same_name = [[np.zeros(1)], [np.zeros(1)]]
    with pytest.raises(CaffeError, match="two layers with parameters are called 'a'"):
        model_file.write_model_hdf5(tmp_path / "m", ["a", "a"], same_name)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_text() == "old"


def test_bytes_are_mapped_and_let_go(tmp_path: Path) -> None:
    content = np.arange(100_000, dtype=np.uint8).tobytes()
    (tmp_path / "f").write_bytes(content)
    with binary_file.mapped(tmp_path / "f") as buffer:
        assert bytes(buffer[:300]) == content[:300]
        binary_file.forget(buffer, 50_000)
        assert bytes(buffer) == content
    with pytest.raises(ValueError, match="released"):
        buffer[0]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html>\xc3", "is a web page"),
        (b"name: 'net'", "is a text file"),
        (b"\x01\x02", "not a caffemodel, or damaged: it ends early"),
    ],
)
def test_damage_is_explained_by_what_the_file_is(head: bytes, words: str) -> None:
    with (
        pytest.raises(CaffeError, match=f"^m: {words}"),
        binary_file.explained("m", memoryview(head), "caffemodel"),
    ):
        raise DamagedError("it ends early")
