"""LevelDB beside LMDB: the same entries in the same order, written, read, averaged; the package is an optional extra."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from support.warm import python

import caffe
from caffe.data.db import Cursor
from caffe.proto import caffe_pb2, model_file
from caffe.tools import compute_image_mean, convert_imageset

plyvel = pytest.importorskip("plyvel", reason="the extra leveldb is not installed")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven pictures and their list, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(7):
        cv2.imwrite(f"{k}.png", rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    Path("list.txt").write_text("".join(f"{k}.png {k}\n" for k in range(7)))
    return tmp_path


def batches(source: str) -> list[tuple[np.ndarray, list[float]]]:
    text = f"""layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ source: "{source}" batch_size: 3
      backend: LEVELDB rand_skip: 4 }} transform_param {{ mirror: true }} }}"""
    caffe.set_random_seed(5)
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)
    found = []
    for _ in range(6):
        net.forward()
        found.append((net.blobs["data"].data.copy(), net.blobs["label"].data.tolist()))
    return found


def test_both_databases_hold_and_give_the_same(pictures: Path) -> None:
    for backend in ("lmdb", "leveldb"):
        assert convert_imageset.main([f"-backend={backend}", "./", "list.txt", backend]) == 0
        assert compute_image_mean.main([f"-backend={backend}", backend, f"{backend}.binaryproto"]) == 0
    database = plyvel.DB("leveldb")
    keys = [key for key, _ in database]
    database.close()
    assert keys == [f"{k:08d}_{k}.png".encode() for k in range(7)]
    for (images, labels), (others, their_labels) in zip(batches("lmdb"), batches("leveldb"), strict=True):
        np.testing.assert_array_equal(images, others)
        assert labels == their_labels
    np.testing.assert_array_equal(*(model_file.read_blob_proto(f"{b}.binaryproto") for b in ("lmdb", "leveldb")))


def test_reading_resumes(pictures: Path) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    cursor = Cursor("db")
    cursor.advance(5)
    key = cursor.key()
    cursor.advance(4)
    assert cursor.key() == b"00000002_2.png"
    assert not cursor.seek(b"nothing")
    assert cursor.key() == b"00000002_2.png"
    assert cursor.seek(key)
    assert cursor.current()[0] == "00000005_5.png"


def test_one_process_opens_it_several_times_and_lets_go_of_it(pictures: Path) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    one, other = Cursor("db"), Cursor(pictures / "db")
    one.advance(2)
    assert (one.key(), other.key()) == (b"00000002_2.png", b"00000000_0.png")
    del one, other
    plyvel.DB("db").close()


def test_a_failed_conversion_leaves_nothing(pictures: Path) -> None:
    Path("list.txt").write_text("0.png 0\nnowhere.png 1\n")
    (pictures / "0.png").unlink()
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 1
    assert {path.suffix for path in pictures.iterdir()} == {".png", ".txt"}


def test_a_damaged_database_is_one_error(pictures: Path) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    (pictures / "db" / "CURRENT").write_text("MANIFEST-999999\n")
    with pytest.raises(caffe.CaffeError, match="cannot open database 'db'"):
        Cursor("db")


@pytest.mark.parametrize("compacted", [False, True])
def test_a_changed_byte_is_an_error_and_not_a_missing_entry(pictures: Path, compacted: bool) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    if compacted:
        with plyvel.DB("db") as database:
            database.compact_range()
    largest = max((pictures / "db").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 1
    largest.write_bytes(content)
    for read in (lambda: len(Cursor("db").database), lambda: batches("db")):
        with pytest.raises(caffe.CaffeError, match=r"database 'db'.*[Cc]orrupt|database 'db'.*checksum"):
            read()


def test_nothing_else_is_opened_through_it(pictures: Path) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    current = pictures / "db" / "CURRENT"
    named = current.read_text()
    for elsewhere in ("../../../../../../dev/zero\n", "../list.txt\n", "MANIFEST-0" * 2000 + "\n"):
        current.write_text(elsewhere)
        with pytest.raises(caffe.CaffeError, match="cannot open database 'db'") as caught:
            Cursor("db")
        assert len(str(caught.value)) < 500
    current.write_text(named)
    os.mkfifo(pictures / "db" / "000009.log")
    with pytest.raises(caffe.CaffeError, match=r"'000009.log' is not a regular file"):
        Cursor("db")


def test_without_the_package_the_extra_is_named(pictures: Path) -> None:
    assert convert_imageset.main(["-backend=leveldb", "./", "list.txt", "db"]) == 0
    program = (
        "import sys; sys.modules['plyvel'] = None; from caffe.tools.convert_imageset import main; sys.exit(main())"
    )
    done = subprocess.run(
        [python(), "-c", program, "-backend=leveldb", "./", "list.txt", "other"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'crfasrnn[leveldb]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (pictures / "other").exists()
