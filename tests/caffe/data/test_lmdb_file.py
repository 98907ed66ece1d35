"""LMDBs read as lmdb itself reads them, and damaged ones refused, which it does not survive."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import SETTINGS

from caffe.data.db import Cursor, open_database
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

PAGE = 4096
FIRST, SECOND = 16, PAGE + 16  # where the two meta pages say what they say
ROOT, DEPTH, FLAGS, ENTRIES, LAST_PAGE = 72 + 40, 72 + 6, 72 + 4, 72 + 32, 120


def entries(database: Path) -> list[tuple[bytes, bytes]]:
    cursor = Cursor(database)
    found = []
    for _ in range(len(cursor.database)):
        found.append((cursor.key(), cursor.current()[1]))
        cursor.advance()
    assert cursor.key() == found[0][0]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_entry_is_read_as_lmdb_reads_it(tmp_path: Path, seed: int) -> None:
    """After puts, replacements and deletions in many transactions, with values in and outside of the leaves."""
    random = np.random.default_rng(seed)
    folder = tmp_path / "db"
    with lmdb.open(str(folder), map_size=1 << 28) as environment:
        for _ in range(12):
            with environment.begin(write=True) as transaction:
                for _ in range(150):
                    key = random.bytes(random.integers(1, 4)) + random.bytes(random.choice([0, 0, 5, 500]))
                    transaction.put(key, random.bytes(random.choice([0, 1, 90, 2000, 2100, 5000, 40000])))
                for key, _ in list(transaction.cursor())[:: random.integers(3, 9)]:
                    transaction.delete(key)
        with environment.begin() as transaction:
            wanted = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
    assert entries(folder) == wanted
    cursor = Cursor(folder)
    for at in random.permutation(len(wanted))[:200]:
        assert cursor.seek(wanted[at][0])
        assert cursor.current()[1] == wanted[at][1]
        assert not cursor.seek(wanted[at][0] + b"\0" * 600)
        assert cursor.key() == wanted[at][0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a database with five Datums in one leaf."""
    folder = tmp_path_factory.mktemp("small")
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for k in range(5):
            datum = caffe_pb2.Datum(channels=3, height=5, width=6, data=bytes(90), label=k)
            transaction.put(b"%08d" % k, datum.SerializeToString())
    return (folder / "data.mdb").read_bytes()


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a database of three levels, with values in pages of their own."""
    folder = tmp_path_factory.mktemp("deep")
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for k in range(150):
            transaction.put(b"%08d" % k + b"k" * 480, bytes(5000 if k % 10 == 0 else 20))
    return (folder / "data.mdb").read_bytes()


def patched(content: bytes, *changes: tuple[int, bytes]) -> bytes:
    changed = bytearray(content)
    for at, new in changes:
        changed[at : at + len(new)] = new
    return bytes(changed)


def in_metas(content: bytes, at: int, new: bytes) -> bytes:
    return patched(content, (FIRST + at, new), (SECOND + at, new))


def in_pages(content: bytes, at: int, new: bytes) -> bytes:
    return patched(content, *((page + at, new) for page in range(2 * PAGE, len(content), PAGE)))


def in_nodes(content: bytes, at: int, new: bytes) -> bytes:
    """Into the first node of every page."""
    return patched(
        content,
        *(
            (page + struct.unpack_from("<H", content, page + 16)[0] + at, new)
            for page in range(2 * PAGE, len(content), PAGE)
        ),
    )


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "no kind of page": lambda c: in_pages(c, 10, struct.pack("<H", 0)),
    "the other kind of page": lambda c: in_pages(c, 10, struct.pack("<H", 1)),
    "a root beyond the end": lambda c: in_metas(c, ROOT, struct.pack("<Q", 1 << 30)),
    "an end beyond the file's": lambda c: in_metas(
        in_metas(c, ROOT, struct.pack("<Q", 1 << 18)), LAST_PAGE, struct.pack("<Q", 1 << 18)
    ),
    "a last page before the root": lambda c: in_metas(c, LAST_PAGE, struct.pack("<Q", 1)),
    "nodes beyond their page": lambda c: in_pages(c, 16, b"\xf0\xff" * 5),
    "values of two gigabytes": lambda c: in_nodes(c, 0, b"\xff\xff\xff\x7f"),
    "values somewhere else": lambda c: in_nodes(c, 4, b"\x01\x00"),
    "values of many": lambda c: in_nodes(c, 4, b"\x06\x00"),
    "keys beyond their page": lambda c: in_nodes(c, 6, b"\xff\xff"),
    "200 levels": lambda c: in_metas(c, DEPTH, struct.pack("<H", 200)),
    "two levels": lambda c: in_metas(c, DEPTH, struct.pack("<H", 2)),
    "no level": lambda c: in_metas(c, DEPTH, struct.pack("<H", 0)),
    "pages of a megabyte": lambda c: in_metas(c, 24, struct.pack("<I", 1 << 20)),
    "keys with several values": lambda c: in_metas(c, FLAGS, struct.pack("<H", 4)),
    "many entries": lambda c: in_metas(c, ENTRIES, struct.pack("<Q", 1 << 60)),
    "a later version": lambda c: in_metas(c, 4, struct.pack("<I", 2)),
    "another file": lambda c: in_metas(c, 0, b"abcd"),
    "half a page": lambda c: c[: 2 * PAGE + 100],
}


@pytest.mark.parametrize("change", HOSTILE)
def test_hostile_databases_are_refused(small: bytes, tmp_path: Path, change: str) -> None:
    path = tmp_path / "data.mdb"
    path.write_bytes(HOSTILE[change](small))
    with pytest.raises(CaffeError, match=str(tmp_path)):
        entries(tmp_path)


@SETTINGS
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 12 * PAGE),
            st.one_of(
                st.binary(min_size=1, max_size=2), st.sampled_from([b"\xff" * 8, struct.pack("<Q", 2), b"\0" * 8])
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_databases_give_entries_or_one_error(
    deep: bytes, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.mdb"
    path.write_bytes(patched(deep, *((at % len(deep), new) for at, new in changes)))
    with suppress(CaffeError):
        entries(path)


def test_a_tree_that_leads_back_to_itself_ends(deep: bytes, tmp_path: Path) -> None:
    """Every second branch page's way leads to the first leaf again; its keys stop ascending."""
    path = tmp_path / "data.mdb"
    pages = [deep[at : at + PAGE] for at in range(0, len(deep), PAGE)]
    branches = [
        n for n, page in enumerate(pages) if n > 1 and page[10] == 1 and int.from_bytes(page[:8], "little") == n
    ]
    leaf = next(n for n, page in enumerate(pages) if n > 1 and page[10] == 2)
    changes = []
    for number in branches[1:]:
        for k in range(2):
            node = struct.unpack_from("<H", pages[number], 16 + 2 * k)[0]
            changes.append((number * PAGE + node, struct.pack("<Q", leaf)[:6]))
    path.write_bytes(patched(deep, *changes))
    with pytest.raises(CaffeError, match="damaged"):
        entries(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_costs_an_error(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    path.write_bytes(small)
    database = open_database(tmp_path)
    os.truncate(path, PAGE)
    with pytest.raises(CaffeError, match="cut off"):
        Cursor(tmp_path)
    assert len(database) == 5


def test_a_pipe_is_no_database(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(CaffeError, match="not a regular file"):
        Cursor(tmp_path)


def test_pages_that_lead_in_a_circle_are_an_error(tmp_path: Path, deep: bytes) -> None:
    """The root's second node made to lead where its first does: the keys begin again, and would for ever."""
    (root,) = struct.unpack_from(
        "<Q", deep, max((FIRST, SECOND), key=lambda at: struct.unpack_from("<Q", deep, at + 128)) + ROOT
    )
    first, second = struct.unpack_from("<2H", deep, root * PAGE + 16)
    (tmp_path / "db").mkdir()
    circle = patched(deep, (root * PAGE + second, deep[root * PAGE + first : root * PAGE + first + 6]))
    (tmp_path / "db" / "data.mdb").write_bytes(circle)
    with pytest.raises(CaffeError, match="its keys are not in order"):
        entries(tmp_path / "db")
