"""Draw the loss over the iterations from logs of `caffe train`, one curve per log.

    python scripts/plot_log.py work/fcn8s.log work/crfrnn.log -o loss.png

Points are the values as logged; the line is their mean over a window of a twentieth of the run.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from caffe.errors import CaffeError
from caffe.files import atomic_path

# "Iteration 3 (3 iter/s, 0s/3 iters), loss = 306.537", and the last line of a run, "Iteration 12, loss = 319.707".
LOSS_LINE = re.compile(r"\] +Iteration (\d+)(?: \([^)]*\))?, loss = (\S+)\s*$", re.MULTILINE)


def losses(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and losses of a log; where a resumed run repeats iterations, the later value counts."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise CaffeError(f"cannot read log {str(path)!r}: {problem.strerror}") from problem
    found = {int(iteration): float(loss) for iteration, loss in LOSS_LINE.findall(text)}
    if not found:
        raise CaffeError(f"log {str(path)!r} has no line 'Iteration ..., loss = ...'")
    iterations = np.array(sorted(found))
    return iterations, np.array([found[iteration] for iteration in iterations])


def smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the values, narrower at both ends."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(half, np.minimum(index, len(values) - 1 - index))
    return (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)


def plot(logs: list[Path], output: Path) -> None:
    """Write the picture; its format is that of the suffix of `output`."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    curves = [(path.stem, *losses(path)) for path in logs]
    figure, axes = plt.subplots(1, len(curves), figsize=(1 + 5 * len(curves), 4), squeeze=False, layout="constrained")
    for ax, (name, iterations, values) in zip(axes[0], curves):
        ax.plot(iterations, values, ".", color="tab:blue", alpha=0.3, markersize=3, label="logged")
        ax.plot(iterations, smoothed(values), color="tab:blue", label="mean over a window")
        ax.set(title=name, xlabel="iteration", ylabel="loss")
        ax.grid(alpha=0.3)
        ax.legend()
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=120)


def main() -> None:
    """Plot the logs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("loss.png"))
    arguments = parser.parse_args()
    plot(arguments.logs, arguments.output)
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    try:
        main()
    except (CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
