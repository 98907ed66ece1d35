"""Writing files so that a reader never meets a half-written one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caffe.errors import CaffeError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; if the block succeeds, sync it, rename it to `path` and sync the folder,
    else remove it.

    The temporary name keeps the target's suffix, because libraries (OpenCV, matplotlib) choose the format by it.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a crash cannot keep a later file of it and lose an earlier one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some file systems know no such thing.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file, at once or not at all. Raises CaffeError if it cannot be written."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise CaffeError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole text file (UTF-8), at once or not at all. Raises CaffeError if it cannot be written."""
    write_bytes(path, content.encode())
