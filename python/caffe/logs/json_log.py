"""`-log_json FILE`: what the log says, for machines, one JSON object per line."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from caffe.errors import FileError
from caffe.files import system

Event = dict[str, Any]


@contextmanager
def json_log(path: str) -> Iterator[Callable[[Event], None]]:
    """Yield write(event), which appends an event with its "time" (seconds since 1970) to the file in one piece.

    Without a path it writes nothing. Numbers that are not finite become null, since JSON has none. Raises CaffeError if the file
    cannot be written.
    """
    if not path:
        yield lambda event: None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | system.BINARY, 0o666)
    except OSError as error:
        raise FileError(f"-log_json {path}: cannot be written: {error.strerror}") from error
    try:
        yield lambda event: _append(handle, path, event)
    finally:
        os.close(handle)


def _append(handle: int, path: str, event: Event) -> None:
    line = json.dumps(_finite({**event, "time": round(time.time(), 3)})) + "\n"
    try:
        os.write(handle, line.encode())
    except OSError as error:
        raise FileError(f"-log_json {path}: cannot be written: {error.strerror}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
