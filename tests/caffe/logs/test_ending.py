"""How commands end: one sentence and a status for whatever is raised."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from caffe.errors import CaffeError, FileError
from caffe.logs.ending import TRACEBACK, ended


def ends(problem: BaseException | None) -> tuple[int, list[str]]:
    said: list[str] = []

    def body() -> int:
        if problem is not None:
            raise problem
        return 3

    return ended(body, said.append), said


@pytest.mark.parametrize(
    ("problem", "sentences"),
    [
        (CaffeError("what is wrong"), ["what is wrong"]),
        (FileError("a.png: is empty"), ["a.png: is empty"]),
        (OSError(errno.ENOSPC, "No space left on device", "out/x.png"), ["out/x.png: No space left on device"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["No space left on device"]),
        (OSError("of a library"), ["of a library"]),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", b"n\xff"),
            ["n\udcff: No such file or directory"],
        ),
        (MemoryError(), ["out of memory"]),
    ],
)
def test_an_error_is_one_sentence_and_status_1(problem: Exception, sentences: list[str]) -> None:
    assert ends(problem) == (1, sentences)


def test_a_body_gives_its_own_status() -> None:
    assert ends(None) == (3, [])


def test_what_nobody_foresaw_is_placed_and_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    status, (said,) = ends(ZeroDivisionError("division\nby zero"))
    assert status == 1
    assert said.startswith(f"unexpected ZeroDivisionError in body, {__file__}:")
    assert "division by zero. Unless that is code of your own, it is a bug: please report it" in said
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


INTERRUPTED = """
import os, signal, sys
from caffe.logs.ending import ended

def body():
    os.kill(os.getpid(), signal.SIGINT)

class Slow:
    def __getattr__(self, name):
        return getattr(sys.__stderr__, name)
    def write(self, text):
        for _ in range(9):
            os.kill(os.getpid(), signal.SIGINT)
        return sys.__stderr__.write(text)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stderr = Slow()
sys.exit(ended(body, print))
"""


def test_ten_interruptions_are_one() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_reader_who_leaves_is_no_error() -> None:
    program = """
import sys
from caffe.logs.ending import ended
def body():
    for i in range(100_000): print(i)
    return 0
sys.exit(ended(body, lambda sentence: print(sentence, file=sys.stderr)))
"""
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.read(read, 10)
    os.close(read)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 1
