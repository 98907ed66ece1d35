"""Progress: on a terminal a bar with the time that is left, below the log lines; elsewhere a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from caffe.logs.glog import logger
from caffe.logs.wording import counted, duration

Thing = TypeVar("Thing")

_FIRST_LINE, _LINE_EVERY = 10.0, 60.0  # seconds
_COLUMNS = 80  # of a terminal that does not know how many it has


def progress(
    things: Iterable[Thing] = (),
    *,
    unit: str,
    what: str | None = None,
    total: int | None = None,
    done: int = 0,
    hidden: bool = False,
    lines: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> tqdm[Thing]:
    """The things one by one, while a bar on stderr tells how many there were: a tqdm, whose update, write and close do as ever.

    things: what is gone through; or nothing, where `update` counts up to `total`. unit: what one of them is called. what: what is
    being done. done: how many were done before.

    Where stderr is no terminal it gets a line instead, after ten seconds and then every minute, unless others write `lines` of
    what is done; clock: gives the seconds. Nothing is shown where there is at most one thing to do, and where it is `hidden`.
    """
    if total is None and isinstance(things, Sized):
        total = len(things)
    terminal = sys.stderr.isatty()
    shown = not hidden and (total is None or total > 1)
    if shown and lines and not terminal:
        return _Lines(things, what, unit, total, done, clock)
    columns = _columns() if terminal else None
    return tqdm(
        things,
        desc=what,
        total=total,
        unit=unit,
        initial=done,
        file=sys.stderr,
        ncols=columns,
        dynamic_ncols=columns is None,
        disable=not (shown and terminal),
    )


def _columns() -> int | None:
    """Of the bar on the terminal: None, as many as there are at the time, unless the terminal says 0."""
    with suppress(OSError, ValueError):
        return None if os.get_terminal_size(sys.stderr.fileno()).columns else _COLUMNS
    return None


class _Lines(tqdm):  # type: ignore[type-arg]  # a tqdm[Thing]; it cannot be subscripted when it runs
    """Counts as a tqdm that is disabled, and writes a line to stderr now and then while there is something left."""

    def __init__(
        self,
        things: Iterable[Thing],
        what: str | None,
        unit: str,
        total: int | None,
        done: int,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(things, total=total, initial=done, disable=True)
        self._what, self._unit, self._first, self._clock = what, unit, done, clock
        self.postfix: str | None = None
        self._began = clock()
        self._due = self._began + _FIRST_LINE

    def __iter__(self) -> Iterator[Thing]:
        for thing in self.iterable:
            yield thing
            self.update()

    def update(self, n: float | None = 1) -> None:
        """So many more are done."""
        self.n += n or 0
        now = self._clock()
        if now >= self._due and self.n > self._first and self.n != self.total:
            print(self._line(now - self._began), file=sys.stderr, flush=True)
            self._due = now + _LINE_EVERY

    def _line(self, seconds: float) -> str:
        before = f"{self._what}: " if self._what else ""
        if self.total is None:
            return f"{before}{counted(self.n, self._unit)}"
        left = seconds * (self.total - self.n) / (self.n - self._first)
        state = f", {self.postfix}" if self.postfix else ""
        return f"{before}{self.n} of {counted(self.total, self._unit)}{state}, {duration(left)} left"


@contextmanager
def progress_bar(total: int, done: int = 0, hidden: bool = False) -> Iterator[Callable[[int], object]]:
    """Yield show(done), which moves a bar to so many of `total` iterations; log lines appear above it, or tell of them alone."""
    with progress(unit="iteration", total=total, done=done, hidden=hidden, lines=False) as bar:
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
