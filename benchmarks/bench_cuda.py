"""Times the mean-field layer on CPU and CUDA device side by side: python benchmarks/bench_cuda.py

Prints milliseconds per call (median) and beside them the floor: the bytes that must pass through device memory, over the measured
bandwidth of a copy. Counted per iteration and pixel: Q read and written, the unaries read, and for every corner of both simplices
its vertex and weight, once for splat and once for slice; backward also reads and writes the gradients. The rows of the vertices
are not counted: they are few enough to stay in the second-level cache of a large device. Image and scores are those of
bench_mean_field.py. The target on an H100: at most 2 ms forward with T = 10, at most 3 ms forward + backward with T = 5.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable

import torch
from bench_mean_field import THETAS, Case, example
from torch import Tensor

from crfasrnn.crf.functional import mean_field

CORNERS = 3 + 6  # of a pixel's spatial and bilateral simplex


def step(size: int, classes: int, iterations: int, backward: bool, device: str) -> Callable[[], object]:
    """One call on tensors of the device."""
    unary, image, weights = example(Case(classes, size))
    leaves = [t.to(device).requires_grad_(backward) for t in (unary, unary.clone(), *weights)]
    image = image.to(device)
    top_diff = torch.randn(unary.shape, generator=torch.Generator().manual_seed(1)).to(device)

    def run() -> object:
        out = mean_field(*leaves[:2], image, *leaves[2:], iterations=iterations, **THETAS)
        return torch.autograd.grad(out, leaves, top_diff) if backward else out

    return run


def milliseconds_on_cpu(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def milliseconds_on_device(run: Callable[[], object], repeats: int) -> float:
    """Between events on the stream, after a few calls that allocate and load what is needed."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def milliseconds_in_graph(run: Callable[[], object], repeats: int) -> float:
    """The same call captured once and replayed: without the time the host needs to launch it."""
    run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return milliseconds_on_device(graph.replay, repeats)


def print_kernels(run: Callable[[], object], calls: int = 10) -> None:
    """Microseconds of a call by job, longest first, as torch's profiler counts them."""
    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
    rows = [(e.self_device_time_total / calls, e.count / calls, e.key) for e in profile.key_averages()]
    print(f"{'us a call':>10} {'launches':>9}  job")
    for microseconds, launches, name in sorted(rows, reverse=True):
        found = re.search(r"crfrnn::cuda::run<crfrnn::cuda::(.*?) ?>\(", name)
        if microseconds >= 0.5:
            print(f"{microseconds:>10.1f} {launches:>9.1f}  {found[1] if found else name[:70]}")
    print(f"{sum(row[0] for row in rows):>10.1f} {sum(row[1] for row in rows):>9.1f}  all\n")


def copy_bandwidth(repeats: int) -> float:
    """Bytes per second, read and written, of a copy too large for any cache."""
    source: Tensor = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(source)
    seconds = milliseconds_on_device(lambda: target.copy_(source), repeats) / 1e3
    return 2 * source.numel() * source.element_size() / seconds


def device_bytes(size: int, classes: int, iterations: int, backward: bool) -> float:
    """What must pass through device memory: see the top of this file."""
    row = 4 * ((classes + 3) // 4 * 4)  # padded to chunks of four floats
    corners = CORNERS * (4 + 4)
    forward = 3 * row + 2 * corners
    # Splat of the gradient and of Q, then slice: reads g, Q twice; reads and writes the sum of gradients; writes g.
    back = 6 * row + 3 * corners
    return float(size * size * iterations * (forward + (back if backward else 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=500, help="height and width in pixels (default 500)")
    parser.add_argument("--num-classes", type=int, default=21, help="number of classes (default 21)")
    parser.add_argument(
        "--repeats", type=int, default=20, help="runs per figure, of which the median counts (default 20)"
    )
    parser.add_argument("--kernels", action="store_true", help="also print the time of each job")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device is present: nothing to compare (bench_mean_field.py times the CPU)")
        return

    bandwidth = copy_bandwidth(options.repeats)
    print(
        f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e9:.0f} GB/s; CPU with {torch.get_num_threads()} threads"
    )
    print(f"{options.size} x {options.size} pixels, {options.num_classes} classes, float32; milliseconds")
    print(f"{'':<28}{'CPU':>10}{'CUDA':>10}{'in graph':>10}{'floor':>10}")
    for name, iterations, backward in (("forward, T = 10", 10, False), ("forward + backward, T = 5", 5, True)):
        shape = (options.size, options.num_classes, iterations, backward)
        on_cpu = milliseconds_on_cpu(step(*shape, "cpu"), max(3, options.repeats // 5))
        on_device = milliseconds_on_device(step(*shape, "cuda"), options.repeats)
        # Autograd is not captured: its backward pass runs on a thread of its own.
        in_graph = "" if backward else f"{milliseconds_in_graph(step(*shape, 'cuda'), options.repeats):.2f}"
        floor = device_bytes(*shape) / bandwidth * 1e3
        print(f"{name:<28}{on_cpu:>10.1f}{on_device:>10.2f}{in_graph:>10}{floor:>10.2f}")
        if options.kernels:
            print_kernels(step(*shape, "cuda"))


if __name__ == "__main__":
    main()
