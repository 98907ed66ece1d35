"""NumPy's files, .npy and .npz, with no more memory than their bytes answer for, and without pickles."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import IO

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path
from caffe.inputs.limits import unpacked
from caffe.inputs.reading import open_regular

# What NumPy and zipfile raise for files that are damaged, encrypted, or compressed in another way.
_DAMAGED = (
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    zipfile.BadZipFile,
    tokenize.TokenError,
    zlib.error,
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy writes these
_MOST_ARRAYS = 10_000


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in a .npy file. Raises CaffeError if there is none, naming the file."""
    with _explained(path), open_regular(path) as file:
        return _array(file, os.fstat(file.fileno()).st_size)


def write_npy(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as a .npy file, at once or not at all. Raises CaffeError if it cannot be written."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # Into a file that it knows as one NumPy writes past Python, and then cannot tell why the disk refuses.
        np.save(SimpleNamespace(write=file.write), array)


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a .npz file, not compressed, at once or not at all. Raises CaffeError if it cannot be written."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays in a .npz file by their names, all of them or the named ones.

    Raises CaffeError, naming the file, if it is damaged, lacks one of them, or would unpack to more than caffe.inputs.limits
    allows.
    """
    with _explained(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = _members(archive)
        wanted = list(members) if names is None else list(names)
        lacking = [name for name in wanted if name not in members]
        if lacking:
            raise ValueError(f"it has no array {lacking[0]!r}")
        if len(members) > _MOST_ARRAYS:
            raise ValueError(f"it has {len(members)} arrays; at most {_MOST_ARRAYS} are read")
        for info in members.values():
            if info.compress_type not in _COMPRESSIONS:
                raise ValueError(f"{info.filename!r} is compressed in a way that NumPy does not write")
        size, most = sum(members[name].file_size for name in wanted), unpacked(os.fstat(file.fileno()).st_size)
        if size > most:
            raise ValueError(f"its arrays unpack to {size} bytes; at most {most} are read of a file of its size")
        arrays = {}
        for name in wanted:
            with archive.open(members[name]) as member:
                arrays[name] = _array(member, members[name].file_size)
        return arrays


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays in a .npz file, of which none is read. Raises CaffeError, naming the file, if it is damaged."""
    with _explained(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        return list(_members(archive))


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array that begins here, in a file of this many bytes: no object is made, nothing allocated that is not there."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is not read")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read_header(file)
    promised = dtype.itemsize * math.prod(shape)
    if dtype.hasobject or dtype.names:
        raise ValueError(
            "it holds Python objects or records, not numbers; objects may run code when they are loaded, so they are not: save a "
            "dictionary as an .npz file, numpy.savez(file, **{str(key): array for key, array in dictionary.items()})"
        )
    if min(shape, default=0) < 0 or promised > size:
        raise ValueError(f"its header promises {promised} bytes, more than there are")
    content = bytearray(promised)
    view, filled = memoryview(content), 0
    while filled < promised:
        count = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"it is cut off: {filled} of {promised} bytes")
        filled += count
    return np.frombuffer(content, dtype, math.prod(shape)).reshape(shape, order="F" if columns_first else "C")


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except CaffeError:
        raise
    except OSError as problem:
        raise FileError(f"cannot read {os.fspath(path)!r}: {problem.strerror or problem}") from problem
    except _DAMAGED as problem:
        raise FileError(f"cannot read {os.fspath(path)!r}: it is damaged or of another kind: {problem}") from problem
