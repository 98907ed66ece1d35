"""glog's log files: what GLOG_log_dir, and the tools' flag -log_dir, ask for beside the lines on stderr."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_NAMES = {logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "FATAL"}


def folder() -> str:
    """Where log files are wanted; empty if nowhere: GLOG_log_dir is not set, or GLOG_logtostderr asks for stderr alone."""
    alone = os.environ.get("GLOG_logtostderr", "").lower() in ("1", "t", "true", "y", "yes")  # noqa: SIM112
    return "" if alone else os.environ.get("GLOG_log_dir", "")  # noqa: SIM112


class TroubleOnce(logging.Handler):
    """Says once, on stderr, that lines are lost, as on a full disk; Python's own handlers say it for each, with a traceback."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            with suppress(OSError, ValueError):
                print(f"lines of the log are lost: {sys.exc_info()[1]}", file=sys.stderr)


class LogFiles(TroubleOnce):
    """Writes each line to the file of its severity and of those below, PROGRAM.HOST.USER.log.SEVERITY.DATE-TIME.PID, as glog does.

    A file appears with its first line, and beside it a link PROGRAM.SEVERITY to the newest. A folder that cannot be written to is
    said on stderr, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[tuple[str, str, int], TextIO | None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        where = folder()
        if not where:
            return
        try:
            line = self.format(record) + "\n"
            for level, severity in _NAMES.items():
                file = self._file(where, severity) if record.levelno >= level else None
                if file is not None:
                    file.write(line)
        except Exception:  # as every handler of Python's logging: logging never ends the program
            self.handleError(record)

    def _file(self, where: str, severity: str) -> TextIO | None:
        key = (where, severity, os.getpid())
        if key not in self._files:
            try:
                self._files[key] = _created(Path(where), severity)
            except OSError as error:
                if None not in self._files.values():
                    print(f"no log files: {where}: {error.strerror}", file=sys.stderr)
                self._files[key] = None
        return self._files[key]

    def close(self) -> None:
        for file in self._files.values():
            if file is not None:
                file.close()
        self._files.clear()
        super().close()


def _created(where: Path, severity: str) -> TextIO:
    called = Path(sys.argv[0] or "python")
    program = called.parent.name if called.name == "__main__.py" else called.name
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user number without a name
        user = "invalid-user"
    path = where / f"{program}.{host}.{user}.log.{severity}.{time.strftime('%Y%m%d-%H%M%S')}.{os.getpid()}"
    file = path.open("a", encoding="utf-8", buffering=1)
    file.write(
        f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S')}\nRunning on machine: {host}\n"
        "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
    )
    with suppress(OSError):  # a file system without links
        link = where / f"{program}.{severity}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
    return file
