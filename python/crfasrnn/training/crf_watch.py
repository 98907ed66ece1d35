"""What the CRF of a training learns: its weights in the log, how far they moved, and a warning if they did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from caffe.logs.glog import signed
from caffe.net.net import Net
from caffe.solver.solver import Event
from crfasrnn.crf.caffemodel import LAYER, MATRICES
from crfasrnn.figures.curves import read_curves
from crfasrnn.training.job import Job

logger = signed("crfasrnn.py")

STILL = 0.05  # what a kernel's weights must move by on average, of about 1 to 5
STEPS = 500  # before which nobody is warned
_PER = 1000  # steps


class CrfWatch:
    """Logs the means over the classes of the layer's three matrices' diagonals, and what they moved by; one of a net with a CRF.

    told: gets events {"event": "crf", "iteration", and "spatial", "bilateral", "compatibility": C floats each}.
    A training that is resumed counts from where its log began.
    """

    def __init__(self, net: Net, job: Job, told: Callable[[Event], object]) -> None:
        self._net, self._told = net, told
        before = read_curves(job.log).crf if job.log.is_file() else {}
        self._first = min(before, default=None)
        self._start: Mapping[str, Any] = {} if self._first is None else before[self._first]

    def note(self, iteration: int) -> None:
        """Log the weights as they are after so many steps."""
        now = diagonals(self._net)
        self._told({"event": "crf", "iteration": iteration, **{name: values.tolist() for name, values in now.items()}})
        if self._first is None:
            self._first, self._start = iteration, now
            return
        means = ", ".join(f"{name} {values.mean():.3f}" for name, values in now.items())
        moved = _moved(changes(self._start, now), iteration - self._first)
        logger.info("Iteration %d, CRF: %s; %s", iteration, means, moved)

    def end(self, iteration: int) -> str:
        """What the CRF learned, in words; warns if that is nothing."""
        found, steps = changes(self._start, diagonals(self._net)), iteration - (self._first or 0)
        kernels = [found[name] for name in MATRICES[:2]]
        if max(kernels) < STILL and steps >= STEPS:
            logger.warning(
                "The CRF has hardly learned: its kernels' weights moved by %.2g and %.2g on average in %d steps. Its learning "
                "rate is too low for so many steps: raise --crf-rate.",
                *kernels, steps,
            )  # fmt: skip
        return f"the CRF's weights {_moved(found, steps)}"


def _moved(found: Mapping[str, float], steps: int) -> str:
    each = ", ".join(f"{name} {change:.3f}" for name, change in found.items())
    return f"moved by {each}, at most {max(found.values()) * _PER / max(1, steps):.2g} per {_PER:,} steps"


def has_crf(net: Net) -> bool:
    """Whether the net's CRF has the layer's three matrices."""
    return LAYER in net.params and len(net.params[LAYER]) >= len(MATRICES)


def diagonals(net: Net) -> dict[str, np.ndarray]:
    """The diagonals of the layer's three matrices, C float64 each; of untied iterations their mean."""
    found = {}
    for name, blob in zip(MATRICES, net.params[LAYER]):
        matrices = np.asarray(blob.data, np.float64).reshape(-1, *blob.shape[-2:])
        found[name] = matrices.diagonal(axis1=1, axis2=2).mean(0)
    return found


def changes(start: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, float]:
    """By how much each of the diagonals changed, the mean over the classes of the absolute differences."""
    return {name: float(np.abs(np.asarray(now[name]) - np.asarray(start[name])).mean()) for name in start}
