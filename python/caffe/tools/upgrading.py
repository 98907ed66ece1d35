"""What the three upgrade tools share: noticing that the upgrade had to leave something out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from caffe.logs.glog import signed

logger = signed("upgrade_proto.cpp")


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def noticing_problems() -> Iterator[list[str]]:
    """Yield a list that collects the error lines which the block logs."""
    errors = _Errors()
    logger.addHandler(errors)
    try:
        yield errors.messages
    finally:
        logger.removeHandler(errors)
