"""MATLAB 5 files: scipy's come back, and damaged ones are refused in bounded memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from caffe.errors import CaffeError
from crfasrnn.datasets.context import read_context_labels
from crfasrnn.datasets.matfile import read_label_map

pytestmark = pytest.mark.usefixtures("bounded_memory")


def mat_element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_file(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(elements)


def mat_array(kind: int, dimensions: tuple[int, ...], *parts: bytes) -> bytes:
    shape = struct.pack(f"<{len(dimensions)}i", *dimensions)
    head = mat_element(6, struct.pack("<II", kind, 0)) + mat_element(5, shape) + mat_element(1, b"LabelMap")
    return mat_element(14, head + b"".join(parts))


def nested_cells(depth: int) -> bytes:
    content = mat_array(9, (1, 1), mat_element(2, b"\1"))
    for _ in range(depth):
        content = mat_array(1, (1, 1), content)
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (mat_file(mat_array(9, (1 << 30, 1 << 30), mat_element(2, b"\1"))), "an array of"),
        (mat_file(mat_array(1, (1 << 15, 1 << 15))), "not a full array"),
        (mat_file(mat_array(5, (1 << 30, 1 << 30))), "not a full array"),
        (mat_file(mat_array(9, (-1, 1), mat_element(2, b"\1"))), "an array of"),
        (mat_file(nested_cells(4000)), "not a full array"),
        (mat_file(struct.pack("<II", 14, 0xFFFFFFF0)), "promises"),
        (mat_file(struct.pack("<II", 15, 1 << 20)), "promises"),
        (mat_file(mat_element(15, zlib.compress(bytes(200 << 20)))), "unpack to more than"),
        (b"\x89HDF\r\n\x1a\n".ljust(600, b"\0"), "-v7"),
        (b"", "no MATLAB 5 header"),
        (mat_file(mat_array(9, (1, 2), mat_element(2, b"\1\x63"))), "holds 99"),
        (mat_file(mat_array(9, (2, 1), mat_element(9, struct.pack("<2d", 0.5, 1)))), "holds 0.5"),
        (mat_file(mat_array(9, (2, 1), mat_element(9, struct.pack("<2d", float("nan"), 1)))), "holds nan"),
    ],
)
def test_mat_files_that_promise_too_much(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(CaffeError, match=r"a\.mat'") as caught:
        read_context_labels(np.zeros(7, np.uint8), path)
    assert words in str(caught.value)


def test_a_mat_file_without_the_variable_names_those_it_has(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"other": np.eye(2)})
    with pytest.raises(CaffeError, match="no array 'LabelMap'"):
        read_label_map(tmp_path / "a.mat", "LabelMap", 9)
    with pytest.raises(CaffeError, match=r"cannot read .*No such file"):
        read_label_map(tmp_path / "none.mat", "LabelMap", 9)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("compress", [False, True])
def test_arrays_that_scipy_writes_come_back(tmp_path: Path, kind: type, compress: bool) -> None:
    labels = np.random.default_rng(0).integers(0, 200, (7, 5)).astype(kind)
    savemat(tmp_path / "a.mat", {"other": np.eye(2), "LabelMap": labels}, do_compression=compress)
    found = read_label_map(tmp_path / "a.mat", "LabelMap", 199)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, labels)
