"""Writing files so that a reader never meets a half-written one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from caffe.errors import FileError
from caffe.files import system

_MARK = "unfinished-"
_UNFINISHED = re.compile(rf"\.{_MARK}[a-z0-9_]{{8}}(\.[^.]*)?$")


def file_name(path: str | os.PathLike[str]) -> str:
    """The path as a string. Raises TypeError if it is none, and OSError if no file can have that name."""
    name = os.fspath(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a file name holds no null byte")
    return name


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; if the block succeeds, sync it, rename it to `path` and sync the folder,
    else remove it.

    A symbolic link is followed: what it names is replaced, not the link. A device or a pipe is never replaced: what was written
    goes through it.

    The temporary name keeps the target's suffix, because libraries (OpenCV, matplotlib) choose the format by it. The file is
    marked as in use while it is written. What killed processes left in the folder is removed.

    Raises CaffeError, which names `path`, for what the system refuses.
    """
    with _named(path, Path(path).parent):
        target = Path(os.path.realpath(file_name(path)))
    through = target.exists() and not (target.is_file() or target.is_dir())
    # Beside a device there may be no room for files.
    folder = Path(tempfile.gettempdir()) if through else target.parent
    _clear(folder)
    with _named(path, folder):
        release, temporary = _unfinished(folder, target)
        try:
            yield temporary
            if through:
                with open(temporary, "rb") as written, open(target, "wb") as device:
                    shutil.copyfileobj(written, device)
                temporary.unlink()
                return
            system.sync_file(temporary)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
            system.sync_folder(target.parent)
        except BaseException:
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        finally:
            release()


@contextmanager
def _named(path: str | os.PathLike[str], folder: Path) -> Iterator[None]:
    """Let an error of the system about an unfinished file in the folder, or about none, name the target."""
    try:
        yield
    except (FileError, BrokenPipeError):
        raise
    except OSError as error:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        if names and not any(os.path.dirname(name) == str(folder) and _UNFINISHED.search(name) for name in names):
            raise
        raise FileError(f"{os.fspath(path)}: cannot be written: {error.strerror or error}") from error


@contextmanager
def unfinished_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder beside `path`, for what is to be moved from there when it is complete; the rest is removed at the end.

    As with atomic_path, what killed processes left is removed, and CaffeError raised where the folder cannot be made.
    """
    target = Path(os.path.abspath(path))
    _clear(target.parent)
    with _named(path, target.parent):
        release, folder = _unfinished(target.parent, target, is_folder=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        release()


def _unfinished(folder: Path, target: Path, is_folder: bool = False) -> tuple[Callable[[], None], Path]:
    """A new unfinished file or folder, marked as in use until what is returned first is called."""
    prefix = f".{target.stem}.{_MARK}"
    while True:
        if is_folder:
            name = tempfile.mkdtemp(target.suffix, prefix, folder)
        else:
            handle, name = tempfile.mkstemp(target.suffix, prefix, folder)
            os.close(handle)
        # As long as it had no mark, somebody may have taken it for what a killed process left.
        with suppress(FileNotFoundError):
            release = system.mark(name)
            if os.path.exists(name):
                return release, Path(name)
            release()


def remove_unfinished(folder: Path) -> None:
    """Remove from a folder the unfinished files and folders of processes that were killed while they wrote.

    What a living process writes is marked and stays, and so does all that cannot be locked or removed, and everything where the
    system knows no marks.
    """
    if not system.can_mark():
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and _UNFINISHED.search(entry.name):
                _remove_unlocked(entry.path)


_clear = cache(remove_unfinished)  # once in a process


def _remove_unlocked(path: str) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | system.NO_LINK | system.NO_WAIT)  # it may be a pipe
        try:
            system.lock(handle)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        finally:
            os.close(handle)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file, at once or not at all. Raises CaffeError if it cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole text file (UTF-8), at once or not at all. Raises CaffeError if it cannot be written."""
    write_bytes(path, content.encode())


def refuse_to_overwrite(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise CaffeError for the first path to be written that is a file which is to be read, under whatever name."""
    inputs = {_identity(path) for path in read if path.is_file()}
    for path in written:
        if path.is_file() and _identity(path) in inputs:
            raise FileError(
                f"{str(path)!r} would be overwritten, which is to be read: give another name or folder for the result"
            )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those it lies in, unless it is there. Raises CaffeError if that cannot be."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        reason = (
            "is there and is no folder" if isinstance(error, FileExistsError) else f"cannot be made: {error.strerror}"
        )
        raise FileError(f"folder {os.fspath(path)!r} {reason}") from error
