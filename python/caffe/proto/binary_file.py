"""Protobuf's files of arrays, opened and written: mapped into memory to be read, whole or not at all when written."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path
from caffe.inputs.reading import open_regular
from caffe.proto.wire import DamagedError, Encoded, Walker

# protobuf's own limit for one message, in every language.
_MAX_PROTOBUF = 2**31 - 1


@contextmanager
def mapped(path: str | os.PathLike[str]) -> Iterator[memoryview]:
    """The file's bytes, mapped into memory and not read before they are needed."""
    name = os.fspath(path)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise FileError(f"{name}: is empty")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{name}: cannot be read: {error}") from error
    buffer = memoryview(content)
    try:
        yield buffer
    finally:
        # An exception on its way keeps views of the mapping alive; it goes when they do.
        with suppress(BufferError):
            buffer.release()
            content.close()


def forget(buffer: memoryview, position: int) -> None:
    """Let go of the mapped pages before `position`; they would count as this process's memory beside the arrays."""
    content = buffer.obj
    length = position - position % mmap.PAGESIZE
    if length and isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED, 0, length)


@contextmanager
def explained(name: str, buffer: memoryview, kind: str) -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise FileError(f"{name}: {guessed(bytes(buffer[:512])) or f'not a {kind}, or damaged: {error}'}") from None


def guessed(head: bytes) -> str:
    """What a file that is no model probably is, from its first 512 bytes: "is a web page ..."; empty if they tell nothing."""
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (git lfs pull fetches it)"
    if b"<html" in head.lower() or b"<!doctype html" in head.lower():
        return "is a web page, not the file itself (a failed download?)"
    if all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head):
        return "is a text file, not a binary one (a prototxt?)"
    return ""


def read_blob(walker: Walker, start: int, end: int, what: str) -> np.ndarray:
    try:
        return walker.blob(start, end)
    except DamagedError as error:
        raise DamagedError(f"{what}: {error}") from error


def write(path: str | os.PathLike[str], message: Encoded) -> None:
    if message.size > _MAX_PROTOBUF:
        raise FileError(f"{os.fspath(path)}: {message.size} bytes are too many for a protobuf file; write HDF5 instead")
    with writing(path) as temporary, open(temporary, "wb") as file:
        for piece in message.pieces():
            file.write(piece)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A temporary path that becomes `path` if all goes well; what the disk refuses becomes a CaffeError."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except FileError:
        raise
    except CaffeError as error:
        raise error.retold(f"{os.fspath(path)}: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise FileError(f"{os.fspath(path)}: cannot be written: {error}") from error
