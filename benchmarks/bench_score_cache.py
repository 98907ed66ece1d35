"""Steps of a training of the CRF alone: without a cache of the frozen network's scores, filling one, and with a full one.

    crfasrnn data lmdb --voc VOC2012 --list train --output voc/train
    crfasrnn data lmdb --voc VOC2012 --list train --classes 0,8,10,12,13,15,17 --output animals/train
    python benchmarks/bench_score_cache.py --data voc --recipe deeplab-crf-only
    python benchmarks/bench_score_cache.py --data animals --recipe slim-crf-only \\
        --weights models/voc-animals-slim/crfrnn.caffemodel.h5

Rounds alternate between the three, on the same images, with one thread; times are medians over the rounds, per step: the
processor's, of all threads of the process, and the clock's. The table of results is kept in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import caffe
from caffe.solver.solver import get_solver
from crfasrnn.networks.recipes import recipe
from crfasrnn.segmentation.models import find_model
from crfasrnn.training import initial_weights, score_cache
from crfasrnn.training.definitions import write_definitions
from crfasrnn.training.job import Job, find_classes

WAYS = ("without", "filling", "full")


def seconds(job: Job, steps: int) -> tuple[float, float]:
    """Of the processor and of the clock for a step, behind a first one that is not counted."""
    classes = find_classes(job)
    solver = get_solver(str(write_definitions(job, classes)))
    solver.save_memory()
    initial_weights.load(solver.net, job, classes)
    score_cache.keep(solver, job)
    solver.step(1)
    before = time.process_time(), time.perf_counter()
    solver.step(steps)
    return (time.process_time() - before[0]) / steps, (time.perf_counter() - before[1]) / steps


def main() -> None:
    """Print the table of one recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, by `crfasrnn data lmdb`")
    parser.add_argument("--recipe", default="deeplab-crf-only")
    parser.add_argument("--weights", type=Path, help="to start from (the bundled model)")
    parser.add_argument("--steps", type=int, default=20, help="of a round (20)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    caffe.init_log(1)  # warnings alone
    torch.set_num_threads(1)
    weights = arguments.weights or find_model(str(recipe(arguments.recipe).model)).weights
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            # The scores lie beside the data, and each round begins with none.
            data, output = Path(folder) / "data", Path(folder) / "output"
            data.mkdir()
            output.mkdir()
            (data / "train").symlink_to(arguments.data.resolve() / "train")
            job = Job(arguments.recipe, data, output, weights)
            for way in WAYS:
                measured[way].append(seconds(replace(job, score_cache=way != "without"), arguments.steps))
    print("| recipe | cache | processor (s/step) | clock (s/step) | steps/s |\n|---|---|---|---|---|")
    for way, times in measured.items():
        processor, clock = (statistics.median(column) for column in zip(*times))
        print(f"| {arguments.recipe} | {way} | {processor:.3f} | {clock:.3f} | {1 / clock:.2f} |")


if __name__ == "__main__":
    main()
