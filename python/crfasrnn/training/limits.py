"""How much of the machine a training gets: threads, and minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class StoppedError(Exception):
    """The time is over; what is on disk is whole, and the same command goes on from there."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads (None: as PyTorch is set)."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def budget(minutes: float | None) -> Callable[[], bool]:
    """Whether so many minutes have passed from now on (None: never)."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    return lambda: end is not None and time.monotonic() >= end
