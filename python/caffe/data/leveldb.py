"""LevelDB databases, with the interface that caffe.data.db needs of LMDB's; the package plyvel is the optional extra "leveldb"."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from caffe.errors import CaffeError, FileError
from caffe.inputs.reading import read_bytes

_BATCH_BYTES = 1 << 24
_MOST_SAID = 200  # characters of LevelDB's own messages, which quote what they find in the files
_CURRENT = re.compile(rb"MANIFEST-[0-9]{6,20}\n")


def _plyvel() -> Any:
    """The module plyvel. Raises CaffeError, which says how to get it, where it is not installed."""
    try:
        import plyvel
    except ImportError as error:
        raise CaffeError(
            "LevelDB needs the package plyvel: pip install 'crfasrnn[leveldb]', or pip install plyvel-ci."
        ) from error
    return plyvel


def _said(error: Exception) -> str:
    """What plyvel or the system says, which plyvel may leave as bytes."""
    text = str(error)
    if error.args and isinstance(error.args[0], bytes):
        text = error.args[0].decode(errors="replace").encode("unicode_escape").decode()
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]} ..."


def _check_folder(path: str) -> None:
    """Raise OSError for a folder whose files would have LevelDB read what lies elsewhere, or without an end."""
    if not _CURRENT.fullmatch(read_bytes(os.path.join(path, "CURRENT"), 1000)):
        raise OSError("its file CURRENT does not hold the name of a manifest")
    with os.scandir(path) as entries:
        for entry in entries:
            if not (entry.is_file() or entry.is_dir()):
                raise OSError(f"'{entry.name}' is not a regular file (a device or a pipe?)")


@contextmanager
def _damage_told(path: str) -> Iterator[None]:
    try:
        yield
    except _plyvel().Error as error:
        raise FileError(f"database '{path}' is damaged: {_said(error)}") from error


class LevelDatabase:
    """An open LevelDB. LevelDB locks its folder, so only one process at a time may have it open.

    All that it holds is checked as it is read: LevelDB would leave out what is damaged. Raises FileError where it cannot be opened.
    """

    errors: tuple[type[Exception], ...] = ()  # beside FileError, of its readers

    def __init__(self, path: str) -> None:
        self.path = path
        plyvel = _plyvel()
        try:
            _check_folder(path)
            self._database = plyvel.DB(path, create_if_missing=False, paranoid_checks=True)
        except (plyvel.Error, OSError) as error:
            raise FileError(f"cannot open database '{path}': {_said(error)}") from error
        # Unlike __del__ this comes when nobody can get hold of the object through a weak reference any more.
        weakref.finalize(self, self._database.close)

    def __len__(self) -> int:
        """The number of entries; LevelDB keeps none, so they are counted. Raises FileError if it is damaged."""
        with _damage_told(self.path):
            return sum(1 for _ in self._database.iterator(include_value=False, verify_checksums=True))

    def begin(self) -> LevelReader:
        """A reader of what the database holds now."""
        return LevelReader(self.path, self._database)


class LevelReader:
    """Reads entries in the order of their keys: transaction and cursor in one, named as LMDB's reader is.

    Raises FileError where the database is damaged.
    """

    def __init__(self, path: str, database: Any) -> None:
        self._path = path
        self._iterator = database.raw_iterator(verify_checksums=True)

    def first(self) -> bool:
        return self._gone_to(self._iterator.seek_to_first)

    def next(self) -> bool:
        return self._gone_to(self._iterator.next)

    def set_key(self, key: bytes) -> bool:
        return self._gone_to(self._iterator.seek, key) and self.key() == key

    def _gone_to(self, go: Callable[..., object], *where: bytes) -> bool:
        with _damage_told(self._path):
            go(*where)
            return bool(self._iterator.valid())

    def key(self) -> bytes:
        return bytes(self._iterator.key())

    def value(self) -> bytes:
        return bytes(self._iterator.value())

    def close(self) -> None:
        self._iterator.close()


@contextmanager
def writing(folder: str) -> Iterator[Any]:
    """Yield put(key, value) for a new LevelDB in a folder; all is on the disk when the block ends."""
    plyvel = _plyvel()
    try:
        with plyvel.DB(folder, create_if_missing=True) as database, database.write_batch(sync=True) as last:
            waiting = [last, 0]

            def put(key: bytes, value: bytes) -> None:
                waiting[0].put(key, value)
                waiting[1] += len(key) + len(value)
                if waiting[1] >= _BATCH_BYTES:
                    waiting[0].write()
                    waiting[0].clear()
                    waiting[1] = 0

            yield put
    except plyvel.Error as error:
        raise FileError(f"cannot write a LevelDB: {error}") from error
