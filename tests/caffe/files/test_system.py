"""What systems do differently about files. The truth for Windows is a Python without what only the others have; its msvcrt, which
is nowhere else, is one over POSIX locks, which belong to a process as Windows' do to a handle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from caffe.files import system

# What Windows' Python lacks, and the lock that it has instead.
WINDOWS = """
import random, tempfile  # ask for what the system has as they are loaded
import fcntl as posix, os, sys, types
sys.modules["fcntl"] = None
for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "pread", "sched_getaffinity", "register_at_fork", "statvfs", "sysconf"):
    delattr(os, name)
import signal
del signal.pthread_sigmask
msvcrt = sys.modules["msvcrt"] = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
def locking(handle, mode, count):
    assert (mode, count) == (2, 1) and os.lseek(handle, 0, 1) > 1 << 20
    posix.lockf(handle, posix.LOCK_EX | posix.LOCK_NB, count)
msvcrt.locking = locking
"""


def start(body: str, *arguments: object, loaded: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{loaded}{WINDOWS}{body}", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out


def test_a_marked_file_cannot_be_locked_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    release, again = system.mark(str(path)), system.mark(str(path))
    handle = os.open(path, os.O_RDWR)
    try:
        for done in (release, again):
            with pytest.raises(BlockingIOError):
                system.lock(handle)
            done()
        system.lock(handle)
    finally:
        system.remove_locked(handle, path)
    assert not path.exists()


def test_threads_may_read_at_many_places(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    wrong = []

    def read(first: int) -> None:
        wrong.extend(p for p in range(first, 16000, 7) if system.read_at(file.fileno(), 3, p)[0] != p % 256)

    with path.open("rb") as file:
        threads = [Thread(target=read, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert system.read_at(file.fileno(), 9, 256 * 64 - 2) == bytes([254, 255])
    assert not wrong


def test_windows_writes_and_reads_files(tmp_path: Path) -> None:
    body = """
from pathlib import Path
from threading import Thread
from caffe.files import system
from caffe.data.db import new_database
from caffe.data.lmdb_file import LmdbDatabase
from caffe.files import write_text
from caffe.inputs.reading import read_text
folder = Path(sys.argv[1])
left = folder / ".x.unfinished-abcdefgh"
left.touch()
write_text(folder / "a.txt", "one\\n")
write_text(folder / "a.txt", "two\\n")
assert read_text(folder / "a.txt", 99) == "two\\n" and left.exists()
with new_database(folder / "db") as put:
    for number in range(2000):
        put(b"%08d" % number, b"%d" % number * 50)
db = LmdbDatabase(str(folder / "db"))
wrong = []
def read():
    reader = db.begin()
    for number in range(2000):
        key, value = next(reader)
        if key != b"%08d" % number or value != b"%d" % number * 50:
            wrong.append(number)
threads = [Thread(target=read) for _ in range(3)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert not wrong and not system.can_mark() and system.processors() == os.cpu_count()
"""
    output(start(body, tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.unfinished-abcdefgh", "a.txt", "db"]


ALONE = """
from crfasrnn.claims import BusyError, alone_in
try:
    with alone_in(sys.argv[1]):
        print("alone", flush=True)
        input()
except BusyError as error:
    print(error)
"""


def test_windows_lets_one_process_alone_in_a_folder(tmp_path: Path) -> None:
    first = start(ALONE, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "alone\n"
    assert f"process {first.pid} is at work" in output(start(ALONE, tmp_path))
    first.kill()
    first.communicate()
    third = start(ALONE, tmp_path)
    assert third.communicate("\n")[0] == "alone\n"
    assert not list(tmp_path.iterdir())


def test_windows_counts_and_starts_processes() -> None:
    body = """
from caffe.files import system
from crfasrnn.many import best_number
with system.ctrl_c_held_back():
    print(system.memory(), 1 <= best_number(100) <= os.cpu_count())
"""
    loaded = "import torch, multiprocessing.pool"
    assert output(start(body, loaded=loaded)) == "None True\n"
    assert (system.memory() or 0) > 1 << 30


def test_windows_imports_every_module() -> None:
    """What only other systems have is asked for nowhere else."""
    body = """
from importlib import import_module
from pkgutil import walk_packages
import caffe, crfasrnn
for package in (caffe, crfasrnn):
    for module in walk_packages(package.__path__, package.__name__ + "."):
        if module.name.endswith(("__main__", "_cuda", "_cuda_host")):
            continue
        try:
            import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name != "gradio":  # an extra
                raise
print("all")
"""
    assert output(start(body, loaded="import torch, multiprocessing.pool")) == "all\n"
