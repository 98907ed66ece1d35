"""Key-value databases of serialized Datums (LMDB, LevelDB): read in order and round again, or written anew."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb

from caffe.data import leveldb
from caffe.data.leveldb import LevelDatabase
from caffe.data.lmdb_file import LmdbDatabase
from caffe.errors import CaffeError, FileError
from caffe.files import unfinished_folder

Database = LmdbDatabase | LevelDatabase

# A LevelDB is opened once: even this process can't open it again meanwhile.
_open: WeakValueDictionary[str, LevelDatabase] = WeakValueDictionary()


def open_database(path: str | os.PathLike[str]) -> Database:
    """The database at `path`; a LevelDB that this process holds open is that one. Raises CaffeError if it is missing or none."""
    name, key = os.fspath(path), os.path.realpath(path)
    if not os.path.exists(name):
        raise FileError(f"cannot open database '{name}': there is no such folder.")
    if not os.path.exists(os.path.join(name, "CURRENT")):
        return LmdbDatabase(name)
    database = _open.get(key)
    if database is None:
        database = _open[key] = LevelDatabase(name)
    return database


class Cursor:
    """Walks through a database in the order of its keys and starts again behind the last."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.database = open_database(path)
        with self._explained():
            self._cursor = self.database.begin()
            if not self._cursor.first():
                raise FileError(f"database '{self.database.path}' is empty.")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self.database.errors as error:
            raise FileError(f"database '{self.database.path}' is damaged: {error}") from error

    def current(self) -> tuple[str, bytes]:
        """Key and value of the entry that the cursor stands on."""
        with self._explained():
            return self._cursor.key().decode(errors="replace"), self._cursor.value()

    def key(self) -> bytes:
        """The key of the entry that the cursor stands on."""
        return bytes(self._cursor.key())

    def seek(self, key: bytes) -> bool:
        """Go to the entry of this key; False, and no move, if there is none."""
        before = self.key()
        with self._explained():
            # A cursor that found nothing may stand anywhere.
            return self._cursor.set_key(key) or not self._cursor.set_key(before)

    def advance(self, entries: int = 1) -> None:
        """Move on by some entries."""
        with self._explained():
            for _ in range(entries):
                if not self._cursor.next():
                    self._cursor.first()

    def __del__(self) -> None:
        # LevelDB wants its iterators closed before itself.
        if hasattr(self, "_cursor"):
            self._cursor.close()


_BATCH = 1000
_LEAST_ROOM = 1 << 20  # bytes


@contextmanager
def new_database(path: str | os.PathLike[str], backend: str = "lmdb") -> Iterator[Callable[[bytes, bytes], None]]:
    """Write a new database, "lmdb" or "leveldb": yields put(key, value).

    It appears under `path` when the block succeeds, and not at all if it fails. Raises CaffeError if `path` exists already, as
    Caffe's tools do, if it cannot be written or if there is no such backend.
    """
    check_backend(backend)
    name = os.fspath(path).rstrip(os.sep) or os.fspath(path)
    if os.path.lexists(name):
        raise FileError(f"cannot create database '{name}': it exists already. Remove it first.")
    with unfinished_folder(name) as folder:
        try:
            with leveldb.writing(str(folder)) if backend == "leveldb" else _writing_lmdb(str(folder)) as put:
                yield put
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(folder, 0o777 & ~mask)
            _rename(str(folder), name)
        except CaffeError:
            raise
        except (lmdb.Error, OSError) as error:
            raise FileError(f"cannot write database '{name}': {_reason(folder, error)}") from error


def _reason(folder: Path, error: Exception) -> str:
    """What is wrong; where there is no room for a whole page, the system writes a part, which LMDB calls an input/output error."""
    return os.strerror(errno.ENOSPC) if shutil.disk_usage(folder).free < _LEAST_ROOM else str(error)


def _rename(folder: str, name: str) -> None:
    try:
        os.rename(folder, name)
    except OSError:
        if os.path.lexists(name):
            raise FileError(f"cannot create database '{name}': another process has created it meanwhile.") from None
        raise


def check_backend(backend: str) -> None:
    """Raises CaffeError unless it is "lmdb" or "leveldb"."""
    if backend not in ("lmdb", "leveldb"):
        raise CaffeError(f"Unknown database backend {backend}: it is lmdb or leveldb.")


@contextmanager
def _writing_lmdb(folder: str) -> Iterator[Callable[[bytes, bytes], None]]:
    # Not synced batch by batch: the folder gets its name only when everything is written.
    with lmdb.open(folder, map_size=1 << 26, sync=False) as environment:
        writer = _Writer(environment)
        yield writer.put
        writer.flush()
        environment.sync(True)


class _Writer:
    """Puts entries in batches and enlarges the map, whose size must be declared, where one does not fit."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        self._waiting: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._last = b""  # the largest key that is written

    def put(self, key: bytes, value: bytes) -> None:
        self._waiting.append((key, value))
        self._bytes += len(key) + len(value)
        if len(self._waiting) >= _BATCH or self._bytes >= 1 << 24:
            self.flush()

    def flush(self) -> None:
        while True:
            try:
                self._last = self._write()
                break
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
        self._waiting.clear()
        self._bytes = 0

    def _write(self) -> bytes:
        """Write what waits; returns the largest key then. Keys in ascending order, as they mostly come, fill the pages."""
        last = self._last
        with self._environment.begin(write=True) as transaction:
            for key, value in self._waiting:
                transaction.put(key, value, append=key > last)
                last = max(last, key)
        return last
