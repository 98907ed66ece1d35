"""How a command ends: whatever is raised becomes one sentence and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

from caffe.errors import CaffeError

TRACEBACK = "CAFFE_TRACEBACK"
"""Environment variable that, set to anything but 0, lets what nobody foresaw end with its traceback."""


def ended(body: Callable[[], int], complain: Callable[[str], None]) -> int:
    """Run a command's `body` and return its exit status.

    1 after an error, which `complain` is told in a sentence; 130 after Ctrl-C, whatever it interrupted, and after all further
    ones. The reader of our output may leave (head, less): that is no error to speak of, and the status is 1.
    """
    try:
        status = body()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do takes no time
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one tells
            print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python's exit would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as problem:
        if not is_foreseen(problem) and traceback_wanted():
            raise
        complain(in_a_sentence(problem))
    return 1


def traceback_wanted() -> bool:
    """Whether the environment asks for the traceback of what nobody foresaw."""
    return os.environ.get(TRACEBACK, "0") not in ("", "0")


def is_foreseen(problem: Exception) -> bool:
    """Whether it is a user's or the system's error, and none of ours."""
    return isinstance(problem, CaffeError | OSError | MemoryError)


def in_a_sentence(problem: Exception) -> str:
    """What to say of an exception."""
    if isinstance(problem, CaffeError):
        return str(problem)
    if isinstance(problem, OSError):
        named = problem.filename is not None and problem.strerror
        return f"{os.fsdecode(problem.filename)}: {problem.strerror}" if named else problem.strerror or str(problem)
    return "out of memory" if isinstance(problem, MemoryError) else unforeseen(problem)


def unforeseen(problem: Exception) -> str:
    """What to say of an exception that nobody expected: where it comes from, and what to do."""
    place = traceback.extract_tb(problem.__traceback__)[-1]
    what = " ".join(str(problem).split())[:500]
    return (
        f"unexpected {type(problem).__name__} in {place.name}, {place.filename}:{place.lineno}: {what}. Unless that is code of "
        f"your own, it is a bug: please report it with the traceback, which {TRACEBACK}=1 in the environment shows"
    )
