"""Writing files so that a reader never meets a half-written one."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caffe.errors import FileError

_MARK = "unfinished-"
_UNFINISHED = re.compile(rf"\.{_MARK}[a-z0-9_]{{8}}(\.[^.]*)?$")


def file_name(path: str | os.PathLike[str]) -> str:
    """The path as a string. Raises TypeError if it is none, and OSError if no file can have that name."""
    name = os.fspath(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), name) from None
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a file name holds no null byte", name)
    return name


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; if the block succeeds, sync it, rename it to `path` and sync the folder,
    else remove it.

    A symbolic link is followed: what it names is replaced, not the link. A device or a pipe is never replaced: what was written
    goes through it.

    The temporary name keeps the target's suffix, because libraries (OpenCV, matplotlib) choose the format by it. The file is
    locked while it is written (h5py, which wants that lock for itself, needs locking=False).
    """
    target = Path(os.path.realpath(file_name(path)))
    through = target.exists() and not (target.is_file() or target.is_dir())
    # Beside a device there may be no room for files.
    folder = tempfile.gettempdir() if through else target.parent
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.{_MARK}", suffix=target.suffix, dir=folder)
    temporary = Path(name)
    try:
        # Some file systems know no such thing; what is left on them stays.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield temporary
        if through:
            with open(temporary, "rb") as written, open(target, "wb") as device:
                shutil.copyfileobj(written, device)
            temporary.unlink()
            return
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        # Nobody who opens the target is to meet the lock.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    finally:
        os.close(handle)


def remove_unfinished(prefix: str) -> None:
    """Remove the temporary files of targets `prefix`* that processes left behind which were killed while they wrote.

    Files that a living process writes are locked and stay, and so does all that cannot be locked or removed.
    """
    folder, start = os.path.split(prefix)
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(f".{start}") and _UNFINISHED.search(entry.name):
                _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    with suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


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
        raise FileError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole text file (UTF-8), at once or not at all. Raises CaffeError if it cannot be written."""
    write_bytes(path, content.encode())


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those it lies in, unless it is there. Raises CaffeError if that cannot be."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        reason = (
            "is there and is no folder" if isinstance(error, FileExistsError) else f"cannot be made: {error.strerror}"
        )
        raise FileError(f"folder {os.fspath(path)!r} {reason}") from error
