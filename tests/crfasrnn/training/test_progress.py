"""What is shown on the way, by a clock of our own."""

from __future__ import annotations

from pathlib import Path

from support.terminal import on_a_terminal

from crfasrnn.training.progress import Progress


class Clock:
    """Time that passes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pipe_gets_an_estimate_and_a_line_a_minute() -> None:
    clock, lines = Clock(), []
    with Progress(1000, 100, lines.append, lambda: None, clock) as progress:
        for step in range(101, 141):
            clock.now += 5
            progress.step(step, loss=float(step))
            if step == 120:
                progress.tested(0.4567)
    assert lines == [
        "about 1 h 15 min for the other 898 steps",  # 5 s each
        "step 114 of 1000: loss 107.5, 1 h 14 min left",
        "step 126 of 1000: loss 116.5, mean IU 45.7 %, 1 h 13 min left",
        "step 138 of 1000: loss 128.5, mean IU 45.7 %, 1 h 12 min left",
    ]


def test_curves_are_drawn_on_a_clock_and_drawing_takes_little_of_the_time() -> None:
    clock, drawn = Clock(), []

    def draw() -> None:
        drawn.append(clock.now - 100)
        clock.now += 4

    with Progress(10**6, 0, lambda line: None, draw, clock) as progress:
        for step in range(1, 400):
            clock.now += 1
            progress.step(step, loss=1.0)
    assert drawn == [30, 154, 278, 402]  # 4 seconds in 124
    with Progress(10, 0, lambda line: None, draw, clock) as progress:
        progress.tested(0.5)
    assert len(drawn) == 5


def test_a_terminal_has_a_bar_with_loss_and_mean_iu_below_the_lines(tmp_path: Path) -> None:
    program = """
from crfasrnn.training.progress import Progress, say
with Progress(30, 0, say, lambda: None) as progress:
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
