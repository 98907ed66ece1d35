"""LevelDB databases, of which one file at a time is damaged; where there are checksums, often with true ones."""

from __future__ import annotations

import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from caffe.data import leveldb
from caffe.proto import caffe_pb2
from fuzz.mutations import mutated

_BLOCK = 1 << 15  # of a log, in which a record's header never lies across the end


@cache
def _databases() -> list[dict[str, bytes]]:
    """The files of small databases by name: entries that lie in a log, and entries in tables with and without compression."""
    found = []
    for entries, size, compact, options in (
        (5, 90, False, {}),
        (3, 50_000, False, {}),
        (40, 900, True, {}),
        (40, 300, True, {"compression": None, "block_size": 1024}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            value = caffe_pb2.Datum(channels=1, height=1, width=size, data=bytes(size), label=1).SerializeToString()
            with leveldb.writing(folder) as put:
                for k in range(entries):
                    put(b"%08d" % k, value)
            if compact:
                import plyvel

                with plyvel.DB(folder, **options) as database:
                    database.compact_range()
            files = {p.name: p.read_bytes() for p in Path(folder).iterdir() if p.name not in ("LOCK", "LOG", "LOG.old")}
            found.append(files)
    return found


def leveldb_seeds() -> list[bytes]:
    """A line with the number of a database and the name of one of its files, and then that file, for each."""
    databases = enumerate(_databases())
    return [f"{k} {name}\n".encode() + content for k, files in databases for name, content in files.items() if content]


def mutated_leveldb(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of the files after some changes."""
    head, _, content = rng.choice(seeds).partition(b"\n")
    kind = head.split()[1].partition(b"-")[0]
    kin = [other.partition(b"\n")[2] for other in seeds if other.split(None, 2)[1].partition(b"-")[0] == kind]
    changed = mutated(rng, [content, *kin])
    if not head.endswith((b".ldb", b"CURRENT")) and rng.random() < 0.8:
        changed = _with_checksums(changed)
    return head + b"\n" + changed


def reading_leveldb(read: Callable[[Path], None]) -> Callable[[Path], None]:
    """What reads the database that a file of `mutated_leveldb` describes."""

    def read_described(path: Path) -> None:
        head, _, content = path.read_bytes().partition(b"\n")
        number, name = head.decode().split(" ")
        folder = Path(tempfile.mkdtemp(dir=path.parent))
        try:
            for other, whole in _databases()[int(number)].items():
                (folder / other).write_bytes(whole)
            (folder / name).write_bytes(content)
            read(folder)
        finally:
            shutil.rmtree(folder)

    return read_described


@cache
def _table() -> list[int]:
    values = list(range(256))
    for _ in range(8):
        values = [v >> 1 ^ 0x82F63B78 * (v & 1) for v in values]
    return values


def _masked_crc32c(data: bytes) -> int:
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _with_checksums(log: bytes) -> bytes:
    """A log whose records, as far as there are any, have the checksums of what they hold now."""
    data, at = bytearray(log), 0
    while at + 7 <= len(data):
        room = _BLOCK - at % _BLOCK
        length = struct.unpack_from("<H", data, at + 4)[0]
        if room < 7 or at + 7 + length > len(data):
            at += room
            continue
        struct.pack_into("<I", data, at, _masked_crc32c(bytes(data[at + 6 : at + 7 + length])))
        at += 7 + length
    return bytes(data)
