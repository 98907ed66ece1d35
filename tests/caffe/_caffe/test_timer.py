"""The stop-watch."""

from __future__ import annotations

import time

import pytest

from caffe._caffe.timer import Timer


@pytest.mark.usefixtures("compute")
def test_it_counts_milliseconds() -> None:
    timer = Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    assert timer.ms >= 20
    timer.stop()
    stopped = timer.ms
    assert stopped >= 20
    time.sleep(0.01)
    assert timer.ms == stopped
    timer.start()
    timer.stop()
    assert timer.ms < stopped
