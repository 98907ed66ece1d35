"""Caffe's log lines: Python's logging with glog's prefix, on stderr.

Warnings and errors are written from the start; information, too, once a script uses pycaffe's names (`start`), a tool begins or
`init_log` is called. As with glog, the environment's GLOG_minloglevel (0 info, 1 warning, 2 error, 3 fatal) leaves out what is
less severe, and GLOG_log_dir asks for files, too (caffe.logs.log_files).

The logger is Python's "caffe". It does not propagate, or a program that sets up the root logger would get each line twice.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from caffe.logs.log_files import LogFiles, TroubleOnce

logger = logging.getLogger("caffe")

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


class _Stderr(TroubleOnce, logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at the time (tests and notebooks replace it)."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Level:
    """The level of the logger, until somebody chooses one."""

    def __init__(self) -> None:
        self.chosen = logger.level != logging.NOTSET
        if not self.chosen:
            logger.setLevel(self.asked(1))

    def asked(self, default: int) -> int:
        """What GLOG_minloglevel says."""
        text = os.environ.get("GLOG_minloglevel", "")  # noqa: SIM112  # glog's spelling
        return _SEVERITIES[min(int(text) if text.isdecimal() else default, 3)]

    def choose(self, level: int) -> None:
        """Write what is as severe, or more."""
        self.chosen = True
        logger.setLevel(level)


_level = _Level()
for _handler in (_Stderr(), LogFiles()):
    _handler.setFormatter(GlogFormatter())
    logger.addHandler(_handler)
logger.propagate = False


def start() -> None:
    """Write information, too, as pycaffe does, unless a level was chosen before."""
    if not _level.chosen:
        _level.choose(_level.asked(0))


def init_log(min_level: int | None = None, stderr: bool = True) -> None:
    """Write Caffe's log lines that are at least as severe as this.

    `min_level` is glog's: 0 info, 1 warning, 2 error, 3 fatal; default: the environment's GLOG_minloglevel, else 0. `stderr` is
    accepted for scripts written for pycaffe.
    """
    _level.choose(_level.asked(0) if min_level is None else _SEVERITIES[min(max(min_level, 0), 3)])


def log(message: str) -> None:
    """Write a line of one's own to Caffe's log, signed as pycaffe signs it."""
    logger.info("%s", message)


def number(value: float) -> str:
    """A number as C++ streams print it by default: six significant digits."""
    return f"{value:g}"
