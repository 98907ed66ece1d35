"""A Python with its libraries loaded does what sys.executable does, sooner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.warm import python

SEEN = """
import json, os, sys, threading
seen = [sys.argv, sys.path[:2], os.getcwd(), dict(os.environ), threading.active_count(), sys.stdin.read(), __name__, os.umask(0)]
print(json.dumps(seen), sys.stdout.isatty(), sorted(os.listdir("/proc/self/fd"))[:3], sys.flags, sys.stdout.encoding)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", SEEN, "a", "-b"),
        ("seen.py", "a"),
        ("-m", "seen", "a"),
        ("-m", "nothing_of_this_name"),
        ("nothing.py",),
        ("-c", "def f(): 1 / 0\nf()"),
        ("-c", "import sys; sys.exit('a sentence')"),
        ("-c", "import sys; sys.exit(300)"),
        ("-c", "raise SystemExit"),
        ("-c", "raise KeyboardInterrupt"),
        ("-c", "import os; os.kill(os.getpid(), 9)"),
        ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"),
        ("-c", "import atexit; atexit.register(print, 'at the end'); print('not yet', end='')"),
        ("-c", "import threading, time; threading.Timer(0.1, print, ['a thread']).start()"),
        ("-c", "import os; print('lost'); os._exit(7)"),
        ("-c", "x = 'a'\nif x == 'a':\nprint(x)"),
        ("-W", "error", "-c", "print('by itself')"),
    ],
)
def test_it_does_what_the_interpreter_does(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(SEEN)
    environment = {**os.environ, "ONE": "word\udcff"}
    warm, cold = (
        subprocess.run([program, *arguments], cwd=tmp_path, env=environment, capture_output=True, input=b"some input")
        for program in (python(), sys.executable)
    )
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_open_files_keep_their_numbers() -> None:
    read, write = os.pipe()
    program = f"import os; os.write({write}, b'seen'); print(len(os.listdir('/proc/self/fd')))"
    said = [subprocess.check_output([each, "-c", program], pass_fds=[write]) for each in (python(), sys.executable)]
    os.close(write)
    assert said == [b"5\n"] * 2  # these, the standard streams, and the list's own
    with open(read, "rb") as found:
        assert found.read() == b"seenseen"


def test_processes_that_it_spawns_have_the_libraries_too(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import sys\n\ndef tell(): print('torch' in sys.modules, 'caffe' in sys.modules)\n"
    )
    program = (
        "import multiprocessing, told\n"
        "process = multiprocessing.get_context('spawn').Process(target=told.tell)\n"
        "process.start(); process.join(); print(process.exitcode)"
    )
    # With -B, which this variable has them given, they are interpreters of their own.
    warm = not os.environ.get("PYTHONDONTWRITEBYTECODE")
    for each, loaded in ((python(), warm), (sys.executable, False)):
        done = subprocess.run([each, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (f"{loaded} False\n0\n", "")


def test_it_has_the_libraries_and_nothing_of_ours() -> None:
    program = "import sys; print([name in sys.modules for name in ('torch', 'cv2', 'caffe', 'crfasrnn')])"
    assert subprocess.check_output([python(), "-c", program], text=True) == "[True, True, False, False]\n"


@pytest.mark.parametrize("name", ["TORCHINDUCTOR_CACHE_DIR", "LD_LIBRARY_PATH", "KMP_INIT_AT_FORK", "ANYTHING"])
def test_what_libraries_set_themselves_does_not(name: str) -> None:
    program = "import sys; print('torch' in sys.modules)"
    other = {**os.environ, name: "7"}
    assert subprocess.check_output([python(), "-c", program], text=True, env=other) == "True\n"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "PYTHONPATH", "LC_ALL", "CUDA_VISIBLE_DEVICES"])
def test_what_libraries_have_read_already_takes_another_interpreter(name: str) -> None:
    program = "import sys; print('torch' in sys.modules)"
    other = {**os.environ, name: "7"}
    assert subprocess.check_output([python(), "-c", program], text=True, env=other) == "False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_program(number: signal.Signals) -> None:
    program = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True)\nsignal.pause()"
    )
    with subprocess.Popen([python(), "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(20) == 5


def test_who_is_killed_leaves_nothing_behind() -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    with subprocess.Popen([python(), "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        assert process.stdout.read() == ""  # which ends with the last who could write
