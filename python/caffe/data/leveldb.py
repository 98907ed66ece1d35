"""LevelDB databases, with the interface that caffe.data.db needs of LMDB's; the package plyvel is the optional extra "leveldb"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from caffe.errors import CaffeError, FileError

_BATCH_BYTES = 1 << 24


def _plyvel() -> Any:
    """The module plyvel. Raises CaffeError, which says how to get it, where it is not installed."""
    try:
        import plyvel
    except ImportError as error:
        raise CaffeError(
            "LevelDB needs the package plyvel: pip install 'crfasrnn[leveldb]', or pip install plyvel-ci."
        ) from error
    return plyvel


class LevelDatabase:
    """An open LevelDB. LevelDB locks its folder, so only one process at a time may have it open."""

    def __init__(self, path: str) -> None:
        self.path = path
        plyvel = _plyvel()
        self.errors = (plyvel.Error,)
        try:
            self._database = plyvel.DB(path, create_if_missing=False)
        except (plyvel.Error, OSError) as error:
            raise FileError(f"cannot open database '{path}': {error}") from error

    def __len__(self) -> int:
        """The number of entries; LevelDB keeps none, so they are counted."""
        return sum(1 for _ in self._database.iterator(include_value=False))

    def begin(self) -> LevelReader:
        """A reader of what the database holds now."""
        return LevelReader(self._database)

    def __del__(self) -> None:
        if hasattr(self, "_database"):
            self._database.close()


class LevelReader:
    """Reads entries in the order of their keys: transaction and cursor in one, named as LMDB's reader is."""

    def __init__(self, database: Any) -> None:
        self._iterator = database.raw_iterator()

    def first(self) -> bool:
        self._iterator.seek_to_first()
        return bool(self._iterator.valid())

    def next(self) -> bool:
        self._iterator.next()
        return bool(self._iterator.valid())

    def set_key(self, key: bytes) -> bool:
        self._iterator.seek(key)
        return bool(self._iterator.valid()) and self.key() == key

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
