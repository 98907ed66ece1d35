"""Who writes in a folder, and what from: remembered in files of it, so that nobody goes on with something else or comes between."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caffe.errors import FileError
from caffe.files import system, write_text
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import open_regular, read_text

_BLOCK = 1 << 20
_LOCK = ".in-use"


class BusyError(FileError):
    """Another process is at work in the folder."""


def claim(path: str | os.PathLike[str], facts: Any, refusal: str) -> None:
    """Let a JSON file remember `facts`: it is written if it is not there, else it must say the same.

    facts: a dictionary, or anything else that JSON knows, which is compared as a whole.
    refusal: the message of the error, with {where} for the file's folder, {fact}, {there} and {now} for what differs, each as
        repr gives it but {fact}.

    Raises CaffeError if the file remembers something else or cannot be read.
    """
    check_claim(path, facts, refusal)
    if not Path(path).is_file():
        write_text(path, json.dumps(facts, indent=1) + "\n")


def check_claim(path: str | os.PathLike[str], facts: Any, refusal: str) -> None:
    """What claim checks, without writing anything."""
    if Path(path).is_file():
        compare(remembered(path), facts, refusal, where=os.fspath(Path(path).parent))


def remembered(path: str | os.PathLike[str]) -> Any:
    """What a file of `claim` says. Raises CaffeError if it is damaged."""
    try:
        return json.loads(read_text(path, MAX_TEXT))
    except (OSError, ValueError, RecursionError) as problem:
        raise FileError(f"{os.fspath(path)}: {problem}") from problem


def compare(found: Any, facts: Any, refusal: str, where: str = "") -> None:
    """Raise CaffeError, worded as `claim` says, for the first of the facts that differs from what was found."""
    now = json.loads(json.dumps(facts))
    for fact, there, here in _differences("", found, now):
        raise FileError(refusal.format(where=repr(where), fact=fact or "content", there=repr(there), now=repr(here)))


def _differences(name: str, there: Any, here: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs, by its own name, however deep in dictionaries it is."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys((*here, *there)):
            yield from _differences(str(key), there.get(key), here.get(key))
    elif there != here:
        yield name, there, here


@contextmanager
def alone_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Within it no other process may be in `alone_in` for the same folder; it ends with the process, however that dies.

    Raises BusyError at once, with the other's process id, where one is there, and FileError where the folder cannot be written.
    """
    path = Path(folder) / _LOCK
    handle = _locked(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        system.remove_locked(handle, path)


def _locked(path: Path) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | system.BINARY | system.NO_LINK, 0o666)
        except OSError as problem:
            raise FileError(f"{path}: cannot be written: {problem.strerror}") from problem
        try:
            system.lock(handle)
            # Who had it may have removed the file meanwhile, and another made a new one.
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except BlockingIOError:
            other = system.read_at(handle, 20, 0).decode("ascii", "replace") or "that has just begun"
            os.close(handle)
            raise BusyError(
                f"process {other} is at work in {os.fspath(path.parent)!r}: wait until it ends, or give another folder"
            ) from None
        except OSError as problem:
            os.close(handle)
            raise FileError(f"{path}: cannot be locked: {problem.strerror}") from problem
        os.close(handle)


def digest(*parts: object, files: Sequence[Path]) -> str:
    """SHA-256 of the contents of files and of whatever else (by its repr) something was made from, as 64 hexadecimal digits."""
    found = hashlib.sha256(repr(parts).encode())
    for path in files:
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                found.update(block)
    return found.hexdigest()
