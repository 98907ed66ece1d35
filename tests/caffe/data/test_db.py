"""Databases: read in order and round again, written whole or not at all, and refused where they are damaged."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest
from support.disk import files_end_at

from caffe.data import db
from caffe.data.db import Cursor, check_backend, new_database
from caffe.errors import CaffeError

ENTRIES = [(b"%04d" % k, bytes([k]) * 100) for k in range(5)]


def write(folder: Path, entries: list[tuple[bytes, bytes]] = ENTRIES) -> Path:
    """A database made by lmdb itself."""
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in entries:
            transaction.put(key, value)
    return folder


def read(folder: Path) -> list[tuple[bytes, bytes]]:
    """What lmdb itself finds in a database, in order."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def test_a_cursor_reads_in_order_and_wraps_round(tmp_path: Path) -> None:
    cursor = Cursor(write(tmp_path / "db", ENTRIES[::-1]))
    assert len(cursor.database) == 5
    seen = []
    for _ in range(7):
        seen.append(cursor.current())
        cursor.advance()
    assert seen == [(key.decode(), value) for key, value in (*ENTRIES, *ENTRIES[:2])]
    cursor.advance(4)
    assert cursor.key() == b"0001"


def test_a_cursor_finds_keys_or_stays(tmp_path: Path) -> None:
    cursor = Cursor(write(tmp_path / "db"))
    assert cursor.seek(b"0003")
    assert cursor.current() == ("0003", ENTRIES[3][1])
    for missing in (b"0009", b"", b"00035"):
        assert not cursor.seek(missing)
        assert cursor.key() == b"0003"


def test_two_cursors_stand_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "db")
    (tmp_path / "link").symlink_to(path)
    one, other = Cursor(path), Cursor(tmp_path / "link")
    one.advance(2)
    assert (one.key(), other.key()) == (b"0002", b"0000")


def test_a_replaced_database_is_read_anew(tmp_path: Path) -> None:
    earlier = Cursor(write(tmp_path / "db"))
    shutil.rmtree(tmp_path / "db")
    assert Cursor(write(tmp_path / "db", [(b"new", b"")])).current() == ("new", b"")
    assert earlier.current() == ("0000", ENTRIES[0][1])


def test_a_file_may_be_the_database(tmp_path: Path) -> None:
    write(tmp_path / "db")
    assert Cursor(tmp_path / "db" / "data.mdb").current() == ("0000", ENTRIES[0][1])


def test_missing_empty_and_foreign_databases_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"nowhere.*no such folder"):
        Cursor(tmp_path / "nowhere")
    with pytest.raises(CaffeError, match=r"empty.*is empty"):
        Cursor(write(tmp_path / "empty", []))
    for name, file, content, message in (
        ("level", "CURRENT", b"MANIFEST-000001\n", r"cannot open database '.*level'"),
        ("pictures", "a.png", b"", "neither an LMDB nor a LevelDB"),
        ("nonsense", "data.mdb", b"nonsense" * 2000, r"nonsense"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(content)
        with pytest.raises(CaffeError, match=message):
            Cursor(tmp_path / name)


def test_databases_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    # Read without this check, such a file kills the process: LMDB maps it into memory.
    random = np.random.default_rng(0)
    source = write(tmp_path / "db", [(b"%04d" % k, random.bytes(2700)) for k in range(200)])
    size = (source / "data.mdb").stat().st_size
    for length in (size // 2, 3 * 4096, 4096, 100, 0):
        os.truncate(source / "data.mdb", length)
        with pytest.raises(CaffeError, match=re.escape(str(source))):
            Cursor(source)


def test_a_database_may_be_replaced_after_use(tmp_path: Path) -> None:
    cursor = Cursor(write(tmp_path / "db"))
    del cursor
    shutil.rmtree(tmp_path / "db")
    write(tmp_path / "db", [(b"new", b"one")])
    assert Cursor(tmp_path / "db").current() == ("new", b"one")


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_what_is_written_is_read(tmp_path: Path, backend: str) -> None:
    if backend == "leveldb":
        pytest.importorskip("plyvel")
    with new_database(tmp_path / "db", backend) as put:
        for key, value in (*ENTRIES[3:], *ENTRIES[:3], (b"0001", b"again")):
            put(key, value)
        assert not (tmp_path / "db").exists()
    cursor = Cursor(tmp_path / "db")
    found = []
    for _ in range(len(cursor.database)):
        found.append(cursor.current()[1])
        cursor.advance()
    assert found == [ENTRIES[0][1], b"again", *(value for _, value in ENTRIES[2:])]
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_a_database_grows_past_its_first_map(tmp_path: Path) -> None:
    """In batches, of which some do not fit at first, and with keys in any order."""
    random = np.random.default_rng(0)
    values = {b"%04d" % k: random.bytes(1 << 22) for k in random.permutation(24)}  # 96 MiB; it starts with 64
    with new_database(tmp_path / "large") as put:
        for key, value in values.items():
            put(key, value)
    assert read(tmp_path / "large") == sorted(values.items())


def test_many_small_entries_fill_the_pages(tmp_path: Path) -> None:
    """As keys in ascending order do: in a database of half-filled pages they take nearly twice the room."""
    entries = [(b"%08d" % k, b"x" * 100) for k in range(2500)]
    with new_database(tmp_path / "db") as put:
        for key, value in entries:
            put(key, value)
    assert read(tmp_path / "db") == entries
    with lmdb.open(str(tmp_path / "db"), readonly=True, lock=False) as environment:
        stat = environment.stat()
    assert sum(len(key) + len(value) for key, value in entries) > 0.8 * stat["leaf_pages"] * stat["psize"]


def test_a_database_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with new_database(tmp_path / "db") as put:
            put(b"key", b"value")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "old")
    for path, message in (
        (tmp_path / "old", "exists already. Remove it first"),
        (tmp_path / "a" / "b", "cannot be written"),
    ):
        with pytest.raises(CaffeError, match=message), new_database(path):
            raise AssertionError("nothing was to be written")
    assert read(tmp_path / "old") == ENTRIES


def test_a_full_disk_is_the_reason_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB calls it an input/output error, as it would if the disk were broken."""

    def fill() -> None:
        with files_end_at(10_000), new_database(tmp_path / "full") as put:
            for number in range(10):
                put(b"%d" % number, bytes(3000))

    for room, message in ((0, "Input/output error"), (1 << 60, "No space left on device")):
        monkeypatch.setattr(db, "_LEAST_ROOM", room)
        with pytest.raises(CaffeError, match=rf"^cannot write database '.*/full': .*{message}"):
            fill()
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".db.unfinished-ab12cd_9"
    left.mkdir()
    (left / "data.mdb").write_bytes(b"half")
    with new_database(tmp_path / "db") as put:
        put(b"key", b"value")
    assert list(tmp_path.iterdir()) == [tmp_path / "db"]


def test_other_backends_are_refused() -> None:
    check_backend("lmdb")
    check_backend("leveldb")
    with pytest.raises(CaffeError, match="Unknown database backend bdb: it is lmdb or leveldb"):
        check_backend("bdb")
