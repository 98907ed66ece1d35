"""Timer: how long something takes, the work of the GPU included."""

from __future__ import annotations

import time

import torch

from caffe import mode


class Timer:
    """pycaffe's stop-watch: `start()`, `stop()`, then `ms`, the milliseconds between the two (until now while it runs)."""

    def __init__(self) -> None:
        self._started = self._now()
        self._stopped: float | None = self._started

    @staticmethod
    def _now() -> float:
        if mode.device().type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def start(self) -> None:
        """Begin to count, from 0."""
        self._started, self._stopped = self._now(), None

    def stop(self) -> None:
        """Stop counting."""
        self._stopped = self._now()

    @property
    def ms(self) -> float:
        """Milliseconds from start to stop."""
        return 1e3 * ((self._now() if self._stopped is None else self._stopped) - self._started)
