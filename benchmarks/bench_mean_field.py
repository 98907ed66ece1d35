"""Times the mean-field layer on this machine: python benchmarks/bench_mean_field.py

Prints a table of milliseconds (best of a few runs) and the memory a call needs above its inputs and outputs. The image
is a photograph that comes with scikit-image (the number of lattice vertices, and with it the time, depends on it); the
scores are smooth noise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import skimage.data
import torch
from torch import Tensor

from crfasrnn.ops import mean_field

THETAS = {"theta_alpha": 160.0, "theta_beta": 3.0, "theta_gamma": 3.0}


def example(classes: int, size: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Unary (1, C, size, size), image (1, 3, size, size) and the three CxC matrices."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, classes, size // 8 + 1, size // 8 + 1, generator=rng) * 3
    unary = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    photo = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(photo, (size, size), mode="bilinear", antialias=True)
    eye = torch.eye(classes)
    return unary, image, [3 * eye, 5 * eye, -eye]


def forward(classes: int, size: int, iterations: int) -> Callable[[], object]:
    unary, image, weights = example(classes, size)
    return lambda: mean_field(unary, unary, image, *weights, iterations=iterations, **THETAS)


def forward_backward(classes: int, size: int, iterations: int) -> Callable[[], object]:
    unary, image, weights = example(classes, size)
    leaves = [tensor.requires_grad_() for tensor in (unary, unary.detach().clone(), *weights)]
    top_diff = torch.randn(unary.shape, generator=torch.Generator().manual_seed(1))

    def step() -> object:
        out = mean_field(*leaves[:2], image, *leaves[2:], iterations=iterations, **THETAS)
        return torch.autograd.grad(out, leaves, top_diff)

    return step


def milliseconds(step: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def peak_megabytes(kind: str, classes: int, size: int, iterations: int) -> float:
    """How far one call raises the peak of a fresh process above its inputs, less outputs and gradients, in 2^20 bytes."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bench_mean_field as b; b.torch.set_num_threads(2)\n"
        "def memory(field):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(field + ':'))\n"
        "getattr(b, sys.argv[2])(2, 32, 2)()\n"  # loads what a first call loads
        "step = getattr(b, sys.argv[2])(*map(int, sys.argv[3:]))\n"
        "import ctypes; getattr(ctypes.CDLL(None), 'malloc_trim', int)(0)\n"  # or free memory would count as in use
        "before = memory('VmRSS'); result = step(); print(1024 * (memory('VmHWM') - before))\n"
    )
    command = [sys.executable, "-c", code, sys.path[0], kind, str(classes), str(size), str(iterations)]
    above = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    outputs = classes * size * size * 4 * (1 if kind == "forward" else 3)
    return (above - outputs) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=500, help="height and width in pixels (default 500)")
    parser.add_argument("--classes", type=int, default=21, help="number of classes (default 21)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--repeats", type=int, default=5, help="runs per figure, of which the best counts (default 5)")
    options = parser.parse_args()
    shape = (options.classes, options.size)

    rows = {
        # One iteration costs a ninth of the difference; what is left of a call is the lattices and the conversions.
        "lattices, layout": lambda: 0.0,
        "one iteration": lambda: 0.0,
        "forward, T = 10": lambda: milliseconds(forward(*shape, 10), options.repeats),
        "forward, T = 5": lambda: milliseconds(forward(*shape, 5), options.repeats),
        "forward + backward, T = 5": lambda: milliseconds(forward_backward(*shape, 5), options.repeats),
    }
    figures: dict[str, list[float]] = {name: [] for name in rows}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name in list(rows)[2:]:
            figures[name].append(rows[name]())
        one = milliseconds(forward(*shape, 1), options.repeats)
        iteration = (figures["forward, T = 10"][-1] - one) / 9
        figures["one iteration"].append(iteration)
        figures["lattices, layout"].append(one - iteration)

    print(f"{options.size} x {options.size} pixels, {options.classes} classes, float32; milliseconds")
    print("".join([f"{'threads':<28}", *(f"{threads:>9}" for threads in options.threads)]))
    for name, values in figures.items():
        print("".join([f"{name:<28}", *(f"{value:>9.1f}" for value in values)]))
    for kind, iterations in (("forward", 10), ("forward_backward", 5)):
        memory = peak_megabytes(kind, *shape, iterations)
        print(f"peak memory of {kind.replace('_', ' + ')}, T = {iterations}: {memory:.0f} MiB above inputs and outputs")


if __name__ == "__main__":
    main()
