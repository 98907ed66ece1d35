"""Times the mean-field layer beside pydensecrf2: python benchmarks/bench_mean_field.py

Milliseconds, the best of a few runs that alternate between the programs, so that a busy moment hits all of them. The image is
a photograph that comes with scikit-image (the number of lattice vertices, and with it the time, depends on it); the scores are
smooth noise. pydensecrf2 is compared where it is installed (it needs `pip install 'cython<3' setuptools` and
`pip install --no-build-isolation pydensecrf2`). CUDA: benchmarks/bench_cuda.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skimage.data
import torch
from torch import Tensor

from crfasrnn import _core
from crfasrnn.crf.functional import mean_field

THETAS = {"theta_alpha": 160.0, "theta_beta": 3.0, "theta_gamma": 3.0}
Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """What to infer. contrast: a pixel's scores lie about 12 times that apart. full: matrices of classes, else Potts."""

    classes: int = 21
    size: int = 500
    batch: int = 1
    full: bool = False
    contrast: float = 1


def example(case: Case) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Unary (N, C, size, size), image (N, 3, size, size) and the three C x C matrices."""
    classes, size = case.classes, case.size
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, classes, size // 8 + 1, size // 8 + 1, generator=rng) * 3 * case.contrast
    unary = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    photo = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(photo, (size, size), mode="bilinear", antialias=True)
    noise = torch.randn(3, classes, classes, generator=rng) * 0.01 if case.full else torch.zeros(3, classes, classes)
    matrices = [scale * torch.eye(classes) + more for scale, more in zip((3, 5, -1), noise)]
    # The images of a batch are parts of the photograph moved about: lattices of their own.
    images = torch.cat([image.roll((37 * n, 61 * n), (2, 3)) for n in range(case.batch)])
    return unary.expand(case.batch, -1, -1, -1).contiguous(), images, matrices


def forward(case: Case, iterations: int) -> Step:
    unary, image, weights = example(case)
    return lambda: mean_field(unary, unary, image, *weights, iterations=iterations, **THETAS)


def forward_backward(case: Case, iterations: int) -> Step:
    unary, image, weights = example(case)
    leaves = [tensor.requires_grad_() for tensor in (unary, unary.detach().clone(), *weights)]
    top_diff = torch.randn(unary.shape, generator=torch.Generator().manual_seed(1))

    def step() -> object:
        out = mean_field(*leaves[:2], image, *leaves[2:], iterations=iterations, **THETAS)
        return torch.autograd.grad(out, leaves, top_diff)

    return step


def lattice(size: int) -> Step:
    """Builds the bilateral lattice; the spatial one is kept between calls on images of one size."""
    image = example(Case(1, size))[1]
    source = _core.KernelSource32(image, THETAS["theta_alpha"], THETAS["theta_alpha"], THETAS["theta_beta"], 2)
    return lambda: _core.GaussianKernel32(source, size, size, torch.get_num_threads())


def pydensecrf(case: Case, iterations: int) -> Step:
    """The same inference by pydensecrf2, building its lattices as the layer does; it has one thread."""
    from pydensecrf import densecrf

    classes, size, full = case.classes, case.size, case.full
    unary, image, weights = example(case)
    energies = [np.ascontiguousarray(-u.reshape(classes, -1).numpy()) for u in unary]
    pictures = [np.ascontiguousarray(i.permute(1, 2, 0).round().byte().numpy()) for i in image]
    spatial, bilateral = ((-weights[2] @ w).numpy() for w in weights[:2])

    def step() -> object:
        results = []
        for energy, picture in zip(energies, pictures):
            crf = densecrf.DenseCRF2D(size, size, classes)
            crf.setUnaryEnergy(energy)
            crf.addPairwiseGaussian(sxy=THETAS["theta_gamma"], compat=-spatial if full else 3.0)
            crf.addPairwiseBilateral(
                sxy=THETAS["theta_alpha"], srgb=THETAS["theta_beta"], rgbim=picture, compat=-bilateral if full else 5.0
            )
            results.append(np.array(crf.inference(iterations)))
        return results

    return step


def best(steps: dict[str, Step], repeats: int, patience: float = float("inf")) -> dict[str, float]:
    """Milliseconds of each step, the best of `repeats` rounds over all of them; what takes longer than `patience` runs once."""
    times = dict.fromkeys(steps, float("inf"))
    for _ in range(repeats):
        for name, step in steps.items():
            if patience < times[name] < float("inf"):
                continue
            start = time.perf_counter()
            step()
            times[name] = min(times[name], 1e3 * (time.perf_counter() - start))
    return times


def with_threads(threads: int, step: Step) -> Step:
    def run() -> object:
        torch.set_num_threads(threads)
        return step()

    return run


def copy_bandwidth(megabytes: int, threads: int) -> float:
    """Bytes read and written per second by copies of an array of this size."""
    torch.set_num_threads(threads)
    source = torch.ones(megabytes << 18)
    target = torch.empty_like(source)
    fastest = min(best({"copy": lambda: target.copy_(source)}, 20).values())
    return 2 * source.nbytes / (fastest / 1e3)


def bytes_per_iteration(classes: int, size: int) -> int:
    """What one iteration must read and write at least: unaries, and the rows of all vertices once for the splat, once for every
    axis of the blur (read and write), once for the slice."""
    row = (classes + 7) // 8 * 8 * 4
    image = example(Case(1, size))[1]
    total = size * size * row
    for features, theta, theta_features, axes in (
        (image[:, :0], THETAS["theta_gamma"], 1.0, 3),
        (image, THETAS["theta_alpha"], THETAS["theta_beta"], 6),
    ):
        source = _core.KernelSource32(features.contiguous(), theta, theta, theta_features, 2)
        total += _core.GaussianKernel32(source, size, size, 2).vertices * row * (2 + 2 * axes)
    return total


def peak_megabytes(kind: str, iterations: int) -> float:
    """How far one call raises the peak of a fresh process above its inputs, less outputs and gradients, in 2^20 bytes."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bench_mean_field as b; b.torch.set_num_threads(2)\n"
        "def memory(field):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(field + ':'))\n"
        "getattr(b, sys.argv[2])(b.Case(2, 32), 2)()\n"  # loads what a first call loads
        "step = getattr(b, sys.argv[2])(b.Case(), int(sys.argv[3]))\n"
        "import ctypes; getattr(ctypes.CDLL(None), 'malloc_trim', int)(0)\n"  # or free memory would count as in use
        "before = memory('VmRSS'); result = step(); print(1024 * (memory('VmHWM') - before))\n"
    )
    command = [sys.executable, "-c", code, sys.path[0], kind, str(iterations)]
    above = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    outputs = Case.classes * Case.size**2 * 4 * (3 if kind == "forward_backward" else 1)
    return (above - outputs) / 2**20


def cells(*values: float | str | None) -> str:
    return "| " + " | ".join("" if v is None else v if isinstance(v, str) else f"{v:.0f}" for v in values) + " |"


def has_pydensecrf() -> bool:
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        print("pydensecrf2 is not installed: its columns stay empty\n")
        return False
    return True


CASES = {
    "500 x 500, 21 classes": Case(),
    "scores 10 x as far apart": Case(contrast=10),
    "batch of 4": Case(batch=4),
    "full matrices": Case(full=True),
    "1000 x 1000": Case(size=1000),
    "150 classes": Case(classes=150),
    "150 classes, full matrices": Case(classes=150, full=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--repeats", type=int, default=5, help="runs per figure, of which the best counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="the first row of each table only")
    options = parser.parse_args()
    peer = has_pydensecrf()
    counts = options.threads

    print(
        "T = 10 forward, and T = 5 forward + backward; 21 classes, 500 x 500, float32 where nothing else is said (ms)\n"
    )
    print(cells("", "pydensecrf2", *(f"forward, {n} thread(s)" for n in counts), *("faster" for _ in counts),
                *(f"forward + backward, {n} thread(s)" for n in counts)))  # fmt: skip
    print(cells(*["---"] * (2 + 3 * len(counts))))
    for what, case in list(CASES.items())[: 1 if options.quick else None]:
        steps = {f"forward {n}": with_threads(n, forward(case, 10)) for n in counts}
        steps |= {f"both {n}": with_threads(n, forward_backward(case, 5)) for n in counts}
        if peer:
            steps["pydensecrf"] = pydensecrf(case, 10)
        small = case.size * case.batch * case.classes < 30000
        times = best(steps, options.repeats if small else max(2, options.repeats // 2))
        ahead = [f"{times['pydensecrf'] / times[f'forward {n}']:.1f}x" if peer else "" for n in counts]
        print(cells(what, times.get("pydensecrf"), *(times[f"forward {n}"] for n in counts), *ahead,
                    *(times[f"both {n}"] for n in counts)), flush=True)  # fmt: skip

    print("\nWhere it goes, 500 x 500, 21 classes (ms)\n")
    print(cells("threads", "bilateral lattice", "rest before and after", "one iteration", "floor of an iteration"))
    print(cells(*["---"] * 5))
    moved = bytes_per_iteration(21, 500)
    for n in counts:
        steps = {"lattice": with_threads(n, lattice(500))}
        steps |= {str(t): with_threads(n, forward(Case(), t)) for t in (1, 10)}
        times = best(steps, options.repeats)
        iteration = (times["10"] - times["1"]) / 9
        floor = moved / copy_bandwidth(16, n) * 1e3
        print(
            f"| {n} | {times['lattice']:.1f} | {times['1'] - times['lattice'] - iteration:.1f} | {iteration:.1f} | {floor:.1f} |"
        )
    rates = ", ".join(f"{copy_bandwidth(16, n) / 1e9:.0f} GB/s with {n}" for n in counts)
    print(f"\nfloor: {moved / 2**20:.0f} MiB per iteration at the speed of copying 16 MiB arrays ({rates} thread(s))")

    print("\nPeak memory above inputs and outputs, 500 x 500, 21 classes (MiB)\n")
    kinds = [("forward", 10), ("forward_backward", 5)] + ([("pydensecrf", 10)] if peer else [])
    for kind, iterations in kinds:
        print(f"{kind.replace('_', ' + ')}, T = {iterations}: {peak_megabytes(kind, iterations):.0f}")


if __name__ == "__main__":
    main()
