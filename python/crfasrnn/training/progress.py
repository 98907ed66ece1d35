"""What a training shows while it runs: a bar on a terminal, elsewhere a line now and then, and a picture of its curves."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from tqdm import tqdm

from caffe.logs.progress_bar import log_above_bars, progress

_DRAW_FIRST, _DRAW_EVERY = 30.0, 60.0  # seconds
_DRAW_SHARE = 30  # of the time at most one in so many goes to drawing
_DRAWING = 1.0  # second that it takes, as long as it was not tried
_MEAN_OF = 20  # steps, whose mean loss is shown


def say(line: str) -> None:
    """Print a line at once, above a bar and also into a pipe that somebody watches."""
    tqdm.write(line)
    sys.stdout.flush()


class Progress:
    """Told of every step and test, it shows how far a training is.

    total, done: steps in all and before. draw: draws the curves; called now and then by the clock, and after tests, but so that it
    takes little of the time. A context manager, which has the bar.
    """

    def __init__(
        self,
        total: int,
        done: int,
        draw: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw, self._clock = draw, clock
        self._losses: deque[float] = deque(maxlen=_MEAN_OF)
        self._mean_iu: float | None = None
        self._drawn, self._pause, self._cost = clock(), _DRAW_FIRST, _DRAWING
        self._bar = progress(what="training", unit="step", total=total, done=done, clock=clock)
        self._above_bar = log_above_bars()

    def __enter__(self) -> Progress:
        if not self._bar.disable:
            self._above_bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bar.disable:
            self._above_bar.__exit__(None, None, None)
        self._bar.close()

    def step(self, done: int, loss: float) -> None:
        """So many steps are done; the last one had this loss."""
        self._losses.append(loss)
        self._bar.set_postfix_str(self._state(), refresh=False)
        self._bar.update(done - self._bar.n)
        self._draw_after(self._pause)

    def tested(self, mean_iu: float) -> None:
        """A test gave this mean IU, a fraction."""
        self._mean_iu = mean_iu
        self._draw_after(0.0)

    def draw(self) -> None:
        """Draw the curves so far, and again after a while."""
        before = self._clock()
        self._draw()
        self._drawn, self._pause = self._clock(), _DRAW_EVERY
        self._cost = self._drawn - before

    def _draw_after(self, pause: float) -> None:
        """Draw if the last time was so many seconds ago, and long enough for what drawing takes."""
        if self._clock() - self._drawn >= max(pause, _DRAW_SHARE * self._cost):
            self.draw()

    def _state(self) -> str:
        loss = f"loss {sum(self._losses) / len(self._losses):.4g}"
        return loss if self._mean_iu is None else f"{loss}, mean IU {100 * self._mean_iu:.1f} %"
