"""A log as `caffe train` writes it."""

from __future__ import annotations

_LINES = """\
I1122 12:00:00.000000 1 solver.cpp:218] Iteration {0} (3 iter/s, 0s/3 iters), loss = {1}
I1122 12:00:00.000000 1 solver.cpp:237]     Train net output #0: loss = 99 (* 1 = 99 loss)
I1122 12:00:00.000000 1 sgd_solver.cpp:105] Iteration {0}, lr = 0.0001
"""


def text_log() -> str:
    """Iterations 0, 3, ... 57 with losses 300 / (1 + iteration), the last of them once more with 8.5 (as a resumed run repeats
    them), then mean IU 0.5 and the run's last line, loss 2.5, at iteration 60."""
    log = "".join(_LINES.format(iteration, 300 / (1 + iteration)) for iteration in range(0, 60, 3))
    log += _LINES.format(57, 8.5)
    log += "I1122 12:00:00.000000 1 crfasrnn.py:1] Iteration 60, mean IU = 0.5000\n"
    return log + "I1122 12:00:00.000000 1 solver.cpp:165] Iteration 60, loss = 2.5\n"
