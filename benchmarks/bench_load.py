"""Time and memory of loading a caffemodel as large as the released one (540 MB): python benchmarks/bench_load.py

Writes the published network with random weights into a temporary folder, and measures, each in a process of its own: reading the
file's bytes plus one copy, our reader (arrays by layer), and copying into a net that exists already. The page cache is warm for all
of them. Extra memory is the peak of the resident set above what the process had before, in units of the file's size.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROTOTXT = Path(__file__).resolve().parent.parent / "prototxt" / "voc21" / "crfrnn_deploy.prototxt"


def write_model(path: Path) -> None:
    """The published network's parameters, random, as a caffemodel."""
    import numpy as np

    import caffe

    net = caffe.Net(str(PROTOTXT), caffe.TEST)
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            rng.standard_normal(out=blob.data, dtype=np.float32)
    net.save(path)


def action(name: str, path: Path) -> Callable[[], object]:
    """What is measured; what it needs beforehand is done here."""
    if name == "read + copy":
        return lambda: bytearray(path.read_bytes())
    if name == "read_model":
        from caffe.proto import model_file

        return lambda: model_file.read_model(path)
    import caffe

    net = caffe.Net(str(PROTOTXT), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = 0  # its own memory counts before
    return lambda: net.copy_from(path)


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, path: Path, repeats: int) -> None:
    """Run one action several times; prints its row."""
    run = action(name, path)
    seconds, extra = [], 0.0
    for _ in range(repeats):
        before = resident()
        reset_peak()
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
        peak = resource_peak()
        extra = max(extra, (peak - before) / path.stat().st_size)
        del result
    print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {extra:.2f} |", flush=True)


def reset_peak() -> None:
    """Let resource_peak begin from what is in memory now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resource_peak() -> int:
    """The peak of the resident set since it was last reset, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Write the file, then measure each action in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, file = arguments.measure
        measure(name, Path(file), arguments.repeats)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.caffemodel"
        write_model(path)
        print(f"a caffemodel of {path.stat().st_size / 1e6:.0f} MB")
        print("| what | median (s) | best (s) | peak extra memory / file |\n|---|---|---|---|", flush=True)
        for name in ("read + copy", "read_model", "Net.copy_from"):
            options = ["--repeats", str(arguments.repeats), "--measure", name, str(path)]
            subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()
