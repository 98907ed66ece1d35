"""What figures are drawn of: label maps of two methods, one of which gains by a known amount, and a log of `caffe train`."""

from __future__ import annotations

from pathlib import Path

from crfasrnn.datasets import Dataset, folder
from crfasrnn.pictures.label_maps import write_labels
from support.crfasrnn.datasets import labels_of, photograph

# Columns out of 16 that the last method gets right where the first one gets half of them: its gain rises with the number.
RIGHT = {"e": 16, "b": 13, "g": 11, "a": 9, "c": 6, "d": 3, "f": 0}


def two_methods(root: Path) -> tuple[Dataset, Path, Path]:
    """Photographs in images/, their truth, class 1 alone, in masks/, and label maps in first/ and last/."""
    for name in ("masks", "first", "last"):
        (root / name).mkdir()
    truth = labels_of(dict.fromkeys(range(12), 1))
    for name, right in RIGHT.items():
        photograph(root / "images" / f"{name}.jpg")
        write_labels(root / "masks" / f"{name}.png", truth)
        for method, columns in (("first", 8), ("last", right)):
            labels = truth.copy()
            labels[:, columns:] = 0
            write_labels(root / method / f"{name}.png", labels)
    return folder(root / "images", root / "masks"), root / "first", root / "last"


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
