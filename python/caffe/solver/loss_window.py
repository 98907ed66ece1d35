"""The displayed loss: its mean over the last iterations (SolverParameter.average_loss)."""

from __future__ import annotations

from collections.abc import Sequence


class LossWindow:
    """Keeps the last `size` losses of a run that began at iteration `first`, and their mean, `smoothed`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._resumed = False
        self._clear(0)

    def _clear(self, first: int) -> None:
        self.first = first
        self.smoothed = 0.0
        self.values: list[float] = []

    def start(self, iteration: int) -> None:
        """Begin a run at this iteration: with no losses, or with those that `resume` just gave."""
        if not self._resumed:
            self._clear(iteration)
        self._resumed = False

    def resume(self, first: int, smoothed: float, values: Sequence[float]) -> None:
        """Let the next run go on with these; they say nothing if they are of a window of another size."""
        if len(values) <= self.size:
            self.first, self.smoothed, self.values = first, smoothed, list(values)
            self._resumed = True

    def add(self, loss: float, iteration: int) -> None:
        """Take in the loss of an iteration."""
        if len(self.values) < self.size:
            self.values.append(loss)
            held = len(self.values)
            self.smoothed = (self.smoothed * (held - 1) + loss) / held
        else:
            slot = (iteration - self.first) % self.size
            self.smoothed += (loss - self.values[slot]) / self.size
            self.values[slot] = loss
