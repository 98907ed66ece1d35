"""Which rows of a wide border need not be computed, for any chain of windows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe.fastpath.border import plan_axis
from caffe.layers.window import Window


def test_the_border_is_left_out() -> None:
    """As many rows as the image has and what stands at the border's two ends, instead of all 700."""
    vgg = [Window(3), Window(3, pad=1), Window(2, 2, rounds_up=True)]
    stage = plan_axis([vgg], 500, 100)[0]
    assert len(stage.take) < 520
    assert [len(places) for places in stage.restore] == [698, 698, 349]
    assert plan_axis([vgg], 500, 1)[0].take == list(range(502))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_chain_of_windows_keeps_every_value(data: st.DataObject) -> None:
    """Along one axis, by a sum over windows that tells any two of them apart, against the same on the full axis."""
    numbers = st.integers(1, 3)
    length, pad = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 40))
    stages, size = [], length + 2 * pad
    for _ in range(data.draw(numbers)):
        stage: list[Window] = []
        for _ in range(data.draw(numbers)):
            kernel, stride, dilation = data.draw(numbers), data.draw(numbers), data.draw(numbers)
            around = data.draw(st.integers(0, kernel - 1)) if stages or stage else 0
            window = Window(kernel, stride, around, dilation, rounds_up=data.draw(st.booleans()))
            if window.output(size) < 1 or size + 2 * around < window.extent:
                continue
            size = window.output(size)
            stage.append(window)
        if stage:
            stages.append(stage)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = {id(slide): rng.normal(size=slide.kernel) for stage in stages for slide in stage}

    def slid(slide: Window, x: np.ndarray) -> np.ndarray:
        cells = np.concatenate([np.zeros(slide.pad), x, np.zeros(slide.pad + 20)])
        reach = np.arange(slide.kernel) * slide.dilation
        starts = np.arange(slide.output(len(x))) * slide.stride
        return np.cos(cells[starts[:, None] + reach] @ weights[id(slide)] + 0.3)

    full = short = np.pad(rng.normal(size=length), pad)
    for stage, plan in zip(stages, plan_axis(stages, length, pad)):
        short = short[plan.take]
        for slide, places in zip(stage, plan.restore):
            full, short = slid(slide, full), slid(slide, short)
            np.testing.assert_allclose(short[places], full, rtol=0, atol=1e-12)
