"""Inference that ends when Q has settled, against fixed numbers of iterations: python benchmarks/bench_tolerance.py [PHOTO ...]

For each tolerance: iterations taken of at most 100, milliseconds an image (two threads, the best of a few rounds, mean over the
images), and the share of labels that differ from those after 100 iterations; the same for fixed numbers. Scores of the bundled
21-class model before its CRF, its thetas, Potts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from bench_mean_field import best
from bench_pruned import ALPHA, BETA, BILATERAL, GAMMA, SPATIAL, photographs, scores_of
from torch import Tensor

from crfasrnn.crf.functional import mean_field

MOST = 100
TOLERANCES = (0.3, 0.1, 0.03, 0.01)
FIXED = (5, 10, 20, MOST)


def refined(unary: Tensor, image: Tensor, iterations: int, tolerance: float) -> tuple[Tensor, int]:
    """Labels, and the number of iterations."""
    eye, run = torch.eye(unary.shape[1]), torch.zeros(1, dtype=torch.int64)
    scores = mean_field(
        unary, unary, image, SPATIAL * eye, BILATERAL * eye, -eye, iterations=iterations, theta_alpha=ALPHA, theta_beta=BETA,
        theta_gamma=GAMMA, tolerance=tolerance, iterations_run=run,
    )  # fmt: skip
    return scores.argmax(1), int(run[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", type=Path, help="real pictures (three of scikit-image's)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts (3)")
    options = parser.parse_args()
    torch.set_num_threads(2)
    samples = scores_of(photographs(options.photographs))
    pixels = sum(unary[0, 0].numel() for unary, _ in samples)
    how = [(count, 0.0) for count in FIXED] + [(MOST, tolerance) for tolerance in TOLERANCES]
    times: dict[tuple[int, float], list[float]] = {}
    counts: dict[tuple[int, float], list[int]] = {}
    changed = dict.fromkeys(how, 0)
    for unary, image in samples:
        steps = {one: (lambda u=unary, i=image, o=one: refined(u, i, *o)) for one in how}
        for one, time in best(steps, options.rounds, patience=1000).items():
            times.setdefault(one, []).append(time)
        last = refined(unary, image, MOST, 0.0)[0]
        for one in how:
            labels, count = refined(unary, image, *one)
            counts.setdefault(one, []).append(count)
            changed[one] += int((labels != last).sum())
    print(f"| | iterations: least, median, most | ms | labels other than after {MOST} (%) |\n| --- | --- | --- | --- |")
    for one in how:
        name = f"tolerance {one[1]:g}" if one[1] else f"{one[0]} iterations"
        run = f"{min(counts[one])}, {np.median(counts[one]):g}, {max(counts[one])}"
        print(f"| {name} | {run} | {np.mean(times[one]):.0f} | {100 * changed[one] / pixels:.4f} |")


if __name__ == "__main__":
    main()
