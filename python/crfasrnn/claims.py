"""What a folder was made from, remembered in a file of it, so that a later call does not go on with something else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffe.errors import FileError
from caffe.files import write_text
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import open_regular, read_text

_BLOCK = 1 << 20


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
    if isinstance(found, dict) and isinstance(now, dict):
        pairs = {fact: (found.get(fact), now.get(fact)) for fact in (*now, *found)}
    else:
        pairs = {"content": (found, now)}
    for fact, (there, here) in pairs.items():
        if there != here:
            raise FileError(refusal.format(where=repr(where), fact=fact, there=repr(there), now=repr(here)))


def digest(*parts: object, files: Sequence[Path]) -> str:
    """SHA-256 of the contents of files and of whatever else (by its repr) something was made from, as 64 hexadecimal digits."""
    found = hashlib.sha256(repr(parts).encode())
    for path in files:
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                found.update(block)
    return found.hexdigest()
