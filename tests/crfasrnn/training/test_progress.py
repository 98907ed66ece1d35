"""What is shown on the way, by a clock of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.terminal import on_a_terminal

from crfasrnn.training.progress import Progress


class Clock:
    """Time that passes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pipe_gets_a_line_a_minute_with_loss_and_mean_iu(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(1000, 100, lambda: None, clock) as progress:
        for step in range(101, 141):
            clock.now += 5
            progress.step(step, loss=float(step))
            if step == 120:
                progress.tested(0.4567)
    assert capsys.readouterr().err.splitlines() == [
        "training: 102 of 1000 steps, loss 101.5, 1 h 15 min left",  # 5 s each
        "training: 114 of 1000 steps, loss 107.5, 1 h 14 min left",
        "training: 126 of 1000 steps, loss 116.5, mean IU 45.7 %, 1 h 13 min left",
        "training: 138 of 1000 steps, loss 128.5, mean IU 45.7 %, 1 h 12 min left",
    ]


@pytest.mark.parametrize(
    ("takes", "tested", "expected"),
    [
        (4, 0, [30, 154, 278]),  # 4 seconds in 124
        (1, 10, [30, 61, 92, 123, 154, 185, 216, 247, 278, 309]),  # each test, were it not a thirtieth of the time
    ],
)
def test_curves_are_drawn_on_a_clock_and_after_tests_which_takes_little_of_the_time(
    takes: int, tested: int, expected: list[int]
) -> None:
    clock, drawn = Clock(), []

    def draw() -> None:
        drawn.append(clock.now - 100)
        clock.now += takes

    with Progress(10**6, 0, draw, clock) as progress:
        for step in range(1, 301):
            clock.now += 1
            progress.step(step, loss=1.0)
            if tested and step % tested == 0:
                progress.tested(0.5)
        assert drawn == expected
        progress.draw()
        assert len(drawn) == len(expected) + 1


def test_a_terminal_has_a_bar_with_loss_and_mean_iu_below_the_lines(tmp_path: Path) -> None:
    program = """
from crfasrnn.training.progress import Progress, say
with Progress(30, 0, lambda: None) as progress:
    for step in range(1, 31):
        progress.step(step, 0.25)
        if step == 10:
            progress.tested(0.5)
            say("step 10: mean IU 50.0 %")
"""
    text = on_a_terminal(["-c", program], tmp_path)
    assert "loss 0.25, mean IU 50.0 %" in text
    assert "30/30" in text
    assert "\rstep 10: mean IU 50.0 %\r\n" in text.replace("\x1b[A", "")
