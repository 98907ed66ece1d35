"""Reads inputs in a child process whose CPU time and memory are limited, and tells how it ended."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from caffe.errors import CaffeError

CPU_SECONDS, MEMORY = 5, 1 << 30  # of one input, beyond what the process had


def child(read: Callable[[Path], object], inputs: Sequence[bytes], path: Path, report: int) -> None:
    """Read the inputs one after the other; a byte goes into `report` before each. Never returns."""
    status = 1
    try:
        for content in inputs:
            path.write_bytes(content)
            os.write(report, b".")
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            try:
                read(path)
            except CaffeError as error:
                if len(str(error)) > 5000 + len(content):  # a long name may be told whole
                    raise ValueError(f"a message of {len(str(error))} characters") from None
            signal.setitimer(signal.ITIMER_PROF, 0)
        status = 0
    except BaseException:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def run(read: Callable[[Path], object], inputs: Sequence[bytes], path: Path) -> tuple[int, str, str]:
    """How many of the inputs, one after the other in a file `path`, were read well: with a result, or one CaffeError.

    Also what stopped the next one, "" if nothing did, and what was printed by then.
    """
    log = path.with_name("log")
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        signal.alarm(120)  # whoever sleeps uses no CPU time
        child(read, inputs, path, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        begun = len(report.read())
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code == 0:
        return len(inputs), "", ""
    limits = {-signal.SIGPROF: f"more than {CPU_SECONDS} s of CPU time", -signal.SIGALRM: "waits for ever"}
    what = limits.get(code, signal.Signals(-code).name if code < 0 else "an exception")
    return begun - 1, what, log.read_text(errors="replace")[-2500:]
