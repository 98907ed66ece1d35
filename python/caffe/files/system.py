"""What systems do differently about files, processors and programs; docs/howto/platforms.md says what users see of it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


# Locks of whole files where there are any (Linux, macOS), else of bytes (Windows).
_fcntl, _msvcrt = _module("fcntl"), _module("msvcrt")

BINARY: int = getattr(os, "O_BINARY", 0)
"""For os.open: no translation of the ends of lines."""
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
"""For os.open: do not wait until somebody writes into a pipe."""
NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
"""For os.open: not through a symbolic link."""

_LOCKED_BYTE = 1 << 30  # behind the end of what is locked, since nobody else may read a byte that is
_seeking = threading.Lock()


def can_mark() -> bool:
    """Whether `mark` does something. Without marks nobody can tell what a killed process left from what a living one writes."""
    return _fcntl is not None


def mark(path: str) -> Callable[[], None]:
    """Mark a file or folder as in use, until the function that is returned is called or this process dies. Raises OSError.

    Some file systems know no marks, and Windows none that let others write.
    """
    if _fcntl is None:
        return lambda: None
    handle = os.open(path, os.O_RDONLY)
    with suppress(OSError):
        _fcntl.flock(handle, _fcntl.LOCK_SH)  # shared, so that HDF5 does not mind when it opens the file
    return partial(os.close, handle)


def lock(handle: int) -> None:
    """Lock an open file until it is closed. Raises BlockingIOError if it is locked or marked, OSError if it cannot be."""
    if _fcntl is not None:
        _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    elif _msvcrt is not None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            _msvcrt.locking(handle, _msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
        finally:
            os.lseek(handle, 0, os.SEEK_SET)


def remove_locked(handle: int, path: str | os.PathLike[str]) -> None:
    """Remove and close a file that this process has locked."""
    if _fcntl is None:  # an open file cannot be removed
        os.close(handle)
    with suppress(OSError):
        os.unlink(path)
    if _fcntl is not None:  # whoever gets the lock now sees that it is of no file
        os.close(handle)


def read_at(handle: int, length: int, position: int) -> bytes:
    """Up to `length` bytes of an open file from `position` on. Threads may do so at the same time."""
    if hasattr(os, "pread"):
        return os.pread(handle, length, position)
    with _seeking:
        os.lseek(handle, position, os.SEEK_SET)
        return os.read(handle, length)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Bring what was written into a file to the disk."""
    _sync(path, os.O_RDONLY if _fcntl is not None else os.O_RDWR)  # Windows asks for the right to write


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Bring the names in a folder to the disk, so that a crash cannot keep a later file of it and lose an earlier one.

    Some file systems know no such thing, nor does Windows.
    """
    if _fcntl is not None:
        with suppress(OSError):
            _sync(path, os.O_RDONLY)


def _sync(path: str | os.PathLike[str], flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def of_c(name: str) -> Any:
    """A function of the C library that this process runs on, for ctypes; None where it has none of the name."""
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Programs that are started within it never see Ctrl-C, which is their parent's to handle; here it comes a moment later.

    On Windows they see it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def memory() -> int | None:
    """How many bytes of memory this machine has; None where the system does not tell."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None


def processors() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
