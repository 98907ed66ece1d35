"""A Python whose libraries are loaded already: programs that it runs start in a tenth of a second instead of seconds.

`python()` is a program that takes a script, `-c` or `-m` as an interpreter does. What it is asked for runs in a process of its own:
a fork of one that has imported torch, OpenCV and so on, but nothing of caffe and crfasrnn. Arguments, folder, environment, open
files, signals and exit status are those of the caller. What a fork cannot be is handed to an interpreter of its own: see server.py.

Tests that measure memory, look at loaded modules, kill by SIGKILL, or signal a whole process group ask for sys.executable.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_ENVIRONMENT = dict(os.environ)  # and not that of the test that happens to be the first to ask


@cache
def python() -> str:
    """The program's path; it lives as long as this process. Where the system has no pidfd_open (Linux has), sys.executable."""
    if not hasattr(os, "pidfd_open"):
        return sys.executable
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    program, address = folder / "python", folder / "socket"
    client = (_HERE / "client.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable} -IS\n{client}")
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, str(_HERE / "server.py"), str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.wait)
    while not address.exists():
        assert server.poll() is None, "there is no warm Python: its error stands above"
        time.sleep(0.02)
    assert server.stdin is not None
    atexit.register(server.stdin.close)
    return str(program)
