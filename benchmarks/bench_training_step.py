"""A training step of the published network (FCN-8s + CRF-RNN, T = 5, 500 x 500): python benchmarks/bench_training_step.py

Ours as `caffe train` makes it, in float32 and, where the processor multiplies bfloat16, in bf16; with --before FOLDER also that of
another checkout; with --torch and --compiled plain torch modules of the same net with our CRF, eager and by torch.compile. Each way
is a process of its own, with one thread, so that peak memory (resident set, as the kernel counts it) is its own; the ways take
turns, --rounds times. Times are the processor's, since others may share the machine: best and median of the steps after the first.
benchmarks/README.md keeps the table.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HERE = Path(__file__).resolve().parent
SIZE, CLASSES = 500, 21


def torch_step(compiled: bool) -> Callable[[], object]:
    """A step of plain modules: the layers of prototxt/voc21/crfrnn_deploy.prototxt, the paper's loss and solver."""
    import torch
    import torch.nn.functional as F
    from bench_fcn8s import photograph
    from torch import nn

    from crfasrnn.crf import CrfRnn

    def block(inputs: int, outputs: int, count: int, pad: int = 1) -> nn.Sequential:
        layers: list[nn.Module] = []
        for k in range(count):
            conv = nn.Conv2d(inputs if k == 0 else outputs, outputs, 3, padding=pad if k == 0 else 1)
            nn.init.kaiming_normal_(conv.weight)
            layers += [conv, nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))

    class Fcn8s(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_pool3 = nn.Sequential(block(3, 64, 2, pad=100), block(64, 128, 2), block(128, 256, 3))
            self.to_pool4, self.to_pool5 = block(256, 512, 3), block(512, 512, 3)
            self.fc = nn.Sequential(
                nn.Conv2d(512, 4096, 7), nn.ReLU(inplace=True), nn.Dropout(),
                nn.Conv2d(4096, 4096, 1), nn.ReLU(inplace=True), nn.Dropout(),
            )  # fmt: skip
            self.score, self.score4, self.score3 = (nn.Conv2d(n, CLASSES, 1) for n in (4096, 512, 256))
            self.up2, self.up4, self.up8 = (
                nn.ConvTranspose2d(CLASSES, CLASSES, 2 * s, s, bias=bias)
                for s, bias in ((2, True), (2, False), (8, False))
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            pool3 = self.to_pool3(image)
            pool4 = self.to_pool4(pool3)
            y = self.up2(self.score(self.fc(self.to_pool5(pool4))))
            y = self.up4(y + self.score4(pool4)[:, :, 5 : 5 + y.shape[2], 5 : 5 + y.shape[3]])
            y = self.up8(y + self.score3(pool3)[:, :, 9 : 9 + y.shape[2], 9 : 9 + y.shape[3]])
            return y[:, :, 31 : 31 + image.shape[2], 31 : 31 + image.shape[3]]

    torch.manual_seed(1)
    net = Fcn8s()
    crf = CrfRnn(CLASSES, iterations=5)
    optimizer = torch.optim.SGD([*net.parameters(), *crf.parameters()], lr=1e-13, momentum=0.99, weight_decay=0.0005)
    image = torch.from_numpy(photograph(SIZE)[None]).float()
    labels = torch.zeros(1, SIZE, SIZE, dtype=torch.long)
    run = torch.compile(net) if compiled else net

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(crf(run(image), image), labels, reduction="sum").backward()
        optimizer.step()

    return step


def our_step() -> Callable[[], object]:
    """A step of the solver."""
    import bench_fcn8s

    import caffe

    caffe.init_log(1)  # warnings alone
    caffe.set_random_seed(1)
    solver = bench_fcn8s.training("crfrnn")
    solver.save_memory()  # as `caffe train` does
    bench_fcn8s.fill(solver.net, SIZE)
    return lambda: solver.step(1)


def measure(way: str, steps: int) -> None:
    """Print the processor's seconds of each step and the peak memory in MiB."""
    import torch

    from caffe import mode

    torch.set_num_threads(1)
    with mode.precision("bf16" if way.endswith("bf16") else "float32"):
        step = torch_step("compiled" in way) if way.startswith("torch") else our_step()
        for _ in range(steps):
            start = time.process_time()
            step()
            print(time.process_time() - start)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def run(way: str, steps: int, package: Path) -> tuple[list[float], float]:
    """Seconds of the steps after the first, and MiB, of a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--way", way, "--steps", str(steps)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    *seconds, peak = map(float, done.stdout.split())
    return seconds[1:], peak


def main() -> None:
    """Let the ways take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn, the first not counted (default: 3)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout of this repository, built")
    parser.add_argument("--torch", action="store_true", help="also plain torch modules")
    parser.add_argument("--compiled", action="store_true", help="also these by torch.compile")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments.way, arguments.steps)
        return
    import torch

    ours = HERE.parent / "python"
    halves = ["", " bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [""]
    ways = [("ours" + half, ours) for half in halves]
    ways += [("torch", ours)] * arguments.torch + [("torch compiled", ours)] * arguments.compiled
    if arguments.before:
        ways += [("before" + half, arguments.before / "python") for half in halves]
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for way, package in ways:
            found, peak = run(way, arguments.steps, package)
            seconds[way] = seconds.get(way, []) + found
            peaks[way] = max(peak, peaks.get(way, 0))
    print("| way | best (s) | median (s) | times ours, best | times ours, median | peak memory (MiB) |")
    print("|---|---|---|---|---|---|")
    for way, _ in ways:
        mine = seconds["ours bf16" if way.endswith("bf16") else "ours"]
        pairs = [(kind(seconds[way]), kind(mine)) for kind in (min, statistics.median)]
        times = " | ".join([f"{a:.2f}" for a, _ in pairs] + [f"{a / b:.2f}" for a, b in pairs])
        print(f"| {way} | {times} | {peaks[way]:.0f} |")


if __name__ == "__main__":
    main()
