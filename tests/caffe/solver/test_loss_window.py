"""The displayed loss is the mean of the last ones."""

from __future__ import annotations

import numpy as np
import pytest

from caffe.solver.loss_window import LossWindow

LOSSES = np.random.default_rng(0).normal(size=20)


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize("first", [0, 7])
def test_the_mean_of_the_last(size: int, first: int) -> None:
    window = LossWindow(size)
    window.start(first)
    for k, loss in enumerate(LOSSES):
        window.add(loss, first + k)
        assert window.smoothed == pytest.approx(LOSSES[max(0, k + 1 - size) : k + 1].mean())


def test_a_new_run_forgets_and_a_resumed_one_goes_on() -> None:
    whole, parts = LossWindow(4), LossWindow(4)
    whole.start(0)
    parts.start(0)
    for k in range(10):
        whole.add(LOSSES[k], k)
        parts.add(LOSSES[k], k)
    resumed = LossWindow(4)
    resumed.resume(parts.first, parts.smoothed, parts.values)
    resumed.start(10)
    for k in range(10, 20):
        whole.add(LOSSES[k], k)
        resumed.add(LOSSES[k], k)
    assert resumed.smoothed == pytest.approx(whole.smoothed, abs=1e-12)
    resumed.start(20)
    assert (resumed.first, resumed.smoothed, resumed.values) == (20, 0, [])


def test_losses_of_a_longer_window_say_nothing() -> None:
    window = LossWindow(2)
    window.resume(0, 5.0, [5.0, 5.0, 5.0])
    window.start(3)
    window.add(1.0, 3)
    assert window.smoothed == 1
