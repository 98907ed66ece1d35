"""Peak memory of the layer beyond its inputs and outputs, by batch, classes and iterations: python benchmarks/bench_memory.py

500 x 500 pixels of scikit-image's `astronaut`, random scores, float32, one process for each row (Linux alone). "no graph": in
torch.inference_mode; "graph": a forward pass whose parameters want gradients; "backward": with the backward pass.
"""

from __future__ import annotations

import subprocess
import sys

import skimage.data
import torch
from bench_load import reset_peak, resource_peak

from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Spatial

ROWS = [
    ("no graph", 1, 2, 10),
    ("no graph", 1, 21, 5),
    ("no graph", 1, 21, 10),
    ("no graph", 4, 21, 10),
    ("graph", 1, 21, 5),
    ("graph", 1, 21, 10),
    ("backward", 1, 21, 5),
    ("backward", 1, 21, 10),
    ("backward", 4, 21, 5),
]
SIDE = 500


def extra(how: str, batch: int, classes: int, iterations: int) -> float:
    """MiB of one pass above what was there before and the scores that it returns."""
    picture = torch.from_numpy(skimage.data.astronaut()[:SIDE, :SIDE].transpose(2, 0, 1).copy()).float()
    image, unary = picture.repeat(batch, 1, 1, 1), torch.randn(batch, classes, SIDE, SIDE)
    crf = CrfRnn(classes, [Spatial(3.0), Bilateral(80.0, 13.0)], iterations)
    crf(unary[:1, :, :50, :50], image[:1, :, :50, :50])  # what is loaded in the first call
    reset_peak()
    before = resource_peak()
    unary.requires_grad_(how == "backward")
    with torch.inference_mode(how == "no graph"):
        scores = crf(unary, image)
    if how == "backward":
        scores.sum().backward()
    return (resource_peak() - before - scores.nbytes) / 2**20


def main() -> None:
    """Print the table, or, of a row's four words, its number."""
    if len(sys.argv) == 5:
        print(round(extra(sys.argv[1], *map(int, sys.argv[2:]))))
        return
    print("| pass | batch | classes | iterations | peak memory (MiB) |\n| --- | --- | --- | --- | --- |")
    for row in ROWS:
        words = [str(part) for part in row]
        done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
        print(f"| {' | '.join(words)} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
