"""Caffe's log lines: Python's logging with glog's prefix, silent until a command or init_log() asks for it."""

from __future__ import annotations

import logging
import os
import sys
import time

logger = logging.getLogger("caffe")
logger.addHandler(logging.NullHandler())

_handler: logging.Handler | None = None
# glog's severities, as GLOG_minloglevel counts them.
_SEVERITIES = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def signed(file: str) -> logging.Logger:
    """The logger whose lines are signed `file`, the name of the source file that logs them in Caffe, such as "net.cpp"."""
    return logger.getChild(file)


class GlogFormatter(logging.Formatter):
    """Prefix each line as glog of Caffe's time did: "I1122 13:04:05.123456  1234 solver.cpp:218] ".

    Log parsers find the time by position and the kind of line by the name of Caffe's source file: that of the record's
    logger, as signed() has given it.
    """

    def format(self, record: logging.LogRecord) -> str:
        now = time.localtime(record.created)
        micros = int(record.created % 1 * 1e6)
        letter = "F" if record.levelno >= logging.CRITICAL else record.levelname[0]
        stamp = time.strftime("%m%d %H:%M:%S", now)
        file = record.name.partition(".")[2] or "_caffe.cpp"
        return f"{letter}{stamp}.{micros:06d} {os.getpid():5d} {file}:{record.lineno}] {record.getMessage()}"


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at the time (tests and notebooks replace it)."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def init_log(min_level: int | None = None, stderr: bool = True) -> None:
    """Write Caffe's log lines to stderr from now on.

    `min_level` is glog's: 0 info, 1 warning, 2 error, 3 fatal; default: the environment's GLOG_minloglevel, else 0. `stderr` is
    accepted for scripts written for pycaffe.
    """
    global _handler
    if min_level is None:
        text = os.environ.get("GLOG_minloglevel", "0")  # noqa: SIM112  # glog's spelling
        min_level = int(text) if text.isdigit() else 0
    if _handler is None:
        _handler = _Stderr()
        _handler.setFormatter(GlogFormatter())
        logger.addHandler(_handler)
        logger.propagate = False
    logger.setLevel(_SEVERITIES[min(max(min_level, 0), 3)])


def log(message: str) -> None:
    """Write a line of one's own to Caffe's log, signed as pycaffe signs it."""
    logger.info("%s", message)


def number(value: float) -> str:
    """A number as C++ streams print it by default: six significant digits."""
    return f"{value:g}"
