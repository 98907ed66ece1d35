"""Damaged and hostile files of data sets: a result or one CaffeError that names the file, in bounded memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat
from support.datasets import instances, labels_of, rectangle, write_sbd_mat
from support.fuzz import SETTINGS, damaged, damaged_text

from caffe.errors import CaffeError
from crfasrnn.datasets.coco import coco
from crfasrnn.datasets.context import read_context_labels
from crfasrnn.datasets.matfile import read_label_map
from crfasrnn.datasets.sbd import read_sbd_labels
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.pictures.label_maps import encode_labels, read_labels

pytestmark = pytest.mark.usefixtures("bounded_memory")


def one_error_or_a_result(read: Callable[[Path], object], path: Path, content: bytes) -> None:
    path.write_bytes(content)
    message = path.name
    try:
        read(path)
    except CaffeError as problem:
        message = str(problem)
    assert path.name in message


def _mats() -> list[bytes]:
    labels, found = labels_of({0: 8, 3: 15}), []
    for compress in (False, True):
        stream = io.BytesIO()
        savemat(stream, {"LabelMap": labels.astype(np.uint16)}, do_compression=compress)
        found.append(stream.getvalue())
    return found


def _sbd_mats(folder: Path) -> list[bytes]:
    found = []
    for compress in (False, True):
        write_sbd_mat(folder / "a.mat", labels_of({0: 8, 3: 15}), compress)
        found.append((folder / "a.mat").read_bytes())
    return found


def _json() -> bytes:
    image = {"id": 1, "file_name": "x.jpg", "height": 30, "width": 40}
    shapes = [
        [rectangle(0, 0, 20, 20)],
        {"size": [30, 40], "counts": [300, 60, 840]},
        {"size": [30, 40], "counts": "Tj0"},
    ]
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": i % 2, "segmentation": shape}
        for i, shape in enumerate(shapes)
    ]
    return json.dumps(instances([image], annotations)).encode()


@SETTINGS
@given(damaged(_mats()))
def test_context_maps(place: Path, content: bytes) -> None:
    one_error_or_a_result(partial(read_context_labels, np.zeros(460, np.uint8)), place, content)


@SETTINGS
@given(st.data())
def test_sbd_maps(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "sbd"
    one_error_or_a_result(read_sbd_labels, folder / "a.mat", data.draw(damaged(_sbd_mats(folder))))


@SETTINGS
@given(st.one_of(damaged([_json()]), damaged_text([_json()])))
def test_coco_annotations(place: Path, content: bytes) -> None:
    one_error_or_a_result(lambda path: coco(path, path.parent), place, content)


@SETTINGS
@given(damaged([encode_labels(labels_of({0: 8}))]))
def test_label_maps(place: Path, content: bytes) -> None:
    one_error_or_a_result(read_labels, place, content)


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(
        stream, names=np.array(["a"]), classes=np.array(["x", "y"]), confusion=np.eye(2, dtype=int)[None]
    )
    return stream.getvalue()


@SETTINGS
@given(damaged([_npz()]))
def test_confusion_files(place: Path, content: bytes) -> None:
    one_error_or_a_result(ImageConfusions.load, place, content)


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
        (mat_file(mat_array(1, (1 << 15, 1 << 15))), "no full array"),
        (mat_file(mat_array(5, (1 << 30, 1 << 30))), "no full array"),
        (mat_file(mat_array(9, (-1, 1), mat_element(2, b"\1"))), "an array of"),
        (mat_file(nested_cells(4000)), "no full array"),
        (mat_file(struct.pack("<II", 14, 0xFFFFFFF0)), "promises"),
        (mat_file(struct.pack("<II", 15, 1 << 20)), "promises"),
        (mat_file(mat_element(15, zlib.compress(bytes(200 << 20)))), "expands to more than"),
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


def test_a_label_map_of_huge_size_is_not_decoded(tmp_path: Path) -> None:
    chunk = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + b"IHDR" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + chunk))
    body = zlib.compress(bytes(1000))
    data = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    with pytest.raises(CaffeError, match=r"a\.png"):
        read_labels(tmp_path / "a.png")


def test_an_npz_that_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("names", "classes", "confusion"):
            head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({1 << 40},), }}".encode().ljust(117) + b"\n"
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    with pytest.raises(CaffeError, match="promises 8796093022208 bytes"):
        ImageConfusions.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": None}, "no list 'images'"),
        ({"categories": [{"id": 1, "name": "tree"}]}, "none of VOC's classes"),
        ({"images": [{"id": 1, "file_name": "../x.jpg", "height": 3, "width": 4}]}, "outside the data set's folder"),
        ({"images": [{"id": 1, "file_name": "x.jpg", "height": 10**9, "width": 10**9}]}, "pixels"),
        ({"images": [{"id": 1, "file_name": "x.jpg", "height": "3", "width": 4}]}, "'height' of type int"),
        ({"annotations": [7]}, "annotation 0"),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(json.loads(_json()) | change))
    with pytest.raises(CaffeError, match=r"instances\.json") as caught:
        coco(path, tmp_path)
    assert words in str(caught.value)
