"""The process that has all libraries loaded, and makes a copy of itself for every program that it is asked for.

A copy becomes what an interpreter would be that was started with the caller's arguments. It is refused, so that the caller starts
one, where options are given, or other variables that the interpreter or the libraries have read already.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import multiprocessing.process
import multiprocessing.spawn
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import types
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

_LIBRARIES = (
    "torch",
    "cv2",
    "google.protobuf.message",
    "google.protobuf.text_format",
    "h5py",
    "lmdb",
    "matplotlib.pyplot",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "scipy.ndimage",
    "scipy.sparse",
    "skimage",
    "tqdm",
)
# Beginnings of names. OpenCV sets LD_LIBRARY_PATH itself, scikit-learn KMP_...: these say nothing of who asks.
_READ_EARLY = (
    "PYTHON",
    "LD_PRELOAD",
    "TORCH_",  # and not TORCHINDUCTOR_..., which its compiler sets
    "CUDA_VISIBLE",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "MALLOC_",
    "MPL",
    "LC_",
    "LANG",
    "HOME",
)
_HIGH = 512  # above all numbers of open files, the server's and the callers'


def load() -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it starts threads when it is loaded, and copies would lack them
    for name in _LIBRARIES:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a library has started a thread"
    gc.freeze()


class Server:
    """Answers at a socket; ends with who has started it, who holds the other end of its stdin."""

    def __init__(self, address: str) -> None:
        # Not os.environ: libraries set variables when they are loaded.
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
        self._environment = _read_early(dict(os.fsdecode(entry).partition("=")[::2] for entry in entries))
        self._callers: dict[int, tuple[int, socket.socket]] = {}  # each copy's number and caller, by its pidfd
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{address}.unfinished")
        self._listener.listen(64)
        os.rename(f"{address}.unfinished", address)

    def serve(self) -> dict[str, Any]:
        """Returns in each copy, with what it was asked for."""
        while True:
            callers = {caller: number for number, caller in self._callers.values()}
            one = select.select([0, self._listener, *self._callers, *callers], [], [])[0][0]
            if one == 0:
                os._exit(0)
            if one in self._callers:
                self._tell_the_end(one)
            elif one in callers:  # which says nothing but that it is gone
                os.kill(callers[one], signal.SIGKILL)
            elif (request := self._answer()) is not None:
                return request

    def _answer(self) -> dict[str, Any] | None:
        caller, _ = self._listener.accept()
        request, streams = _read(caller)
        number = 0
        if request is not None and _read_early(request["environment"]) == self._environment and _is_known(request):
            if not (number := os.fork()):
                moved = [fcntl.fcntl(stream, fcntl.F_DUPFD, _HIGH) for stream in streams]
                for one in (self._listener, caller, *(other for _, other in self._callers.values())):
                    one.detach()  # or it would close, when it is collected, what the program has opened by then
                os.closerange(0, _HIGH)
                for stream, number in zip(moved, request["streams"]):
                    os.dup2(stream, number)
                os.closerange(_HIGH, 2 * _HIGH)
                return request
            self._callers[os.pidfd_open(number)] = (number, caller)
        for stream in streams:
            os.close(stream)
        with suppress(OSError):
            caller.sendall(b"%d\n" % number)
        return None

    def _tell_the_end(self, copy: int) -> None:
        number, caller = self._callers.pop(copy)
        os.close(copy)
        status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        with caller, suppress(OSError):
            caller.sendall(b"%d\n" % status)


def _read_early(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_EARLY)}


def _is_known(request: dict[str, Any]) -> bool:
    first, *rest = request["arguments"] or [""]
    return bool(rest) if first in ("-c", "-m") else Path(request["folder"], first).is_file()


def _read(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A request and the open files that are to be its process's."""
    text, streams, _, _ = socket.recv_fds(connection, 1, 253)
    while not text.endswith(b"\n"):
        if not (more := connection.recv(1 << 16)):
            return None, streams
        text += more
    return json.loads(text), streams


def become(request: dict[str, Any]) -> list[str]:
    """Make this process what an interpreter is before it runs the first line; returns its arguments."""
    os.setsid()
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    # New ones, which do not remember what the server's lay on.
    sys.stdin = sys.__stdin__ = open(0, encoding=sys.stdin.encoding, errors=sys.stdin.errors)  # noqa: SIM115
    unbuffered = sys.stdout.write_through
    raw = open(1, "wb", buffering=0 if unbuffered else -1)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(
        raw, sys.stdout.encoding, sys.stdout.errors, write_through=unbuffered
    )
    sys.modules["numpy"].random.seed()  # the generator that was seeded when it was loaded
    multiprocessing.process.ORIGINAL_DIR = os.getcwd()
    multiprocessing.spawn.set_executable(os.path.join(os.path.dirname(sys.argv[1]), "python"))
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__)
    sys.modules["__main__"] = main
    return list(request["arguments"])


def run(arguments: list[str]) -> None:
    first = arguments[0]
    if first == "-m":
        sys.argv[:], sys.path[0] = ["-m", *arguments[2:]], os.getcwd()
        runpy._run_module_as_main(arguments[1])  # type: ignore[attr-defined]
        return
    main = sys.modules["__main__"].__dict__
    if first == "-c":
        sys.argv[:], sys.path[0], name, text = ["-c", *arguments[2:]], "", "<string>", arguments[1].encode()
    else:
        sys.argv[:], sys.path[0], name = arguments, str(Path(first).resolve().parent), first
        main["__file__"] = first
        text = Path(first).read_bytes()
    exec(compile(text, name, "exec", dont_inherit=True), main)


def end(status: int) -> NoReturn:
    """End as the interpreter does, but do not take the modules apart, which takes longer than many a program."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:
            status = 120
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def run_to_its_end(arguments: list[str]) -> NoReturn:
    try:
        run(arguments)
    except SystemExit as request:
        if request.code is not None and not isinstance(request.code, int):
            print(request.code, file=sys.stderr)
        end(0 if request.code is None else request.code & 255 if isinstance(request.code, int) else 1)
    except BaseException as problem:
        trace = problem.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(problem), problem.with_traceback(trace), trace)
        end(-signal.SIGINT if isinstance(problem, KeyboardInterrupt) else 1)
    end(0)


if __name__ == "__main__":
    load()
    run_to_its_end(become(Server(sys.argv[1]).serve()))
