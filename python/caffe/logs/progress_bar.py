"""Progress on a terminal: a bar with the time that is left, below the log lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from caffe.logs.glog import logger

Thing = TypeVar("Thing")


def progress(
    things: Iterable[Thing] = (),
    *,
    unit: str,
    what: str | None = None,
    total: int | None = None,
    done: int = 0,
    hidden: bool = False,
) -> tqdm[Thing]:
    """The things one by one, while a bar on stderr tells how many there were: a tqdm, whose update, write and close do as ever.

    things: what is gone through; or nothing, where `update` counts up to `total`. unit: what one of them is called. what: what is
    being done. done: how many were done before.

    There is no bar where stderr is no terminal, where there is at most one thing to do, and where it is `hidden`.
    """
    if total is None and isinstance(things, Sized):
        total = len(things)
    shown = sys.stderr.isatty() and not hidden and (total is None or total > 1)
    return tqdm(
        things,
        desc=what,
        total=total,
        unit=unit,
        initial=done,
        file=sys.stderr,
        dynamic_ncols=True,
        disable=not shown,
    )


@contextmanager
def progress_bar(total: int, done: int = 0, hidden: bool = False) -> Iterator[Callable[[int], object]]:
    """Yield show(done), which moves a bar to so many of `total` iterations; log lines appear above it."""
    with progress(unit="iteration", total=total, done=done, hidden=hidden) as bar:
        if bar.disable:
            yield lambda done: None
            return
        with log_above_bars():
            yield lambda done: bar.update(done - bar.n)


@contextmanager
def log_above_bars() -> Iterator[None]:
    """Let the lines of the log that a terminal gets, and no others, appear above its bars."""
    before = {handler: handler.level for handler in logger.handlers}
    with logging_redirect_tqdm([logger]):
        replaced = [level for handler, level in before.items() if handler not in logger.handlers]
        for handler in logger.handlers:
            if handler not in before:
                handler.setLevel(min(replaced, default=handler.level))
        yield
