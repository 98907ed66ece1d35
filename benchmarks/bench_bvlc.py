"""Times one net in genuine BVLC Caffe with the plugin and in ours: python benchmarks/bench_bvlc.py

Needs the genuine Caffe that `make test-caffe` builds, and the plugin for it (`make caffe-plugin CAFFE_ROOT=...`). Runs
`caffe time` of both on the same prototxt, in the form that stock Caffe parses, and prints milliseconds of the slowest layers
and of the whole net.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PASSES = ("forward", "backward")
Times = dict[tuple[str, str], float]


def test_caffe() -> Path:
    """Folder of the genuine Caffe that the tests use."""
    script = REPOSITORY / "scripts" / "build_test_caffe.sh"
    found = subprocess.run([script, "--find"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(found.returncode)
    return Path(found.stdout.strip())


def caffe_time(command: list[str], model: Path, iterations: int, environment: dict[str, str]) -> Times:
    """Milliseconds of (layer, pass), and of ("all layers", pass), as `caffe time` reports them."""
    arguments = [*command, "time", "-model", str(model), "-phase", "TEST", "-iterations", str(iterations)]
    done = subprocess.run(arguments, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    layers = re.findall(r"\] +(\S+)\s+(forward|backward): (\S+) ms", done.stderr)
    times = {(layer, which): float(value) for layer, which, value in layers}
    for which, value in re.findall(r"Average (Forward|Backward) pass: (\S+) ms", done.stderr):
        times["all layers", which.lower()] = float(value)
    return times


def blas_environment(genuine: Path) -> dict[str, str]:
    """What makes genuine Caffe's OpenBLAS use the processor: releases older than it take the slowest kernels, with SSE alone."""
    if "OPENBLAS_CORETYPE" in os.environ:
        return {}
    loaded = subprocess.run([genuine], env=os.environ | {"OPENBLAS_VERBOSE": "2"}, capture_output=True, text=True)
    flags = Path("/proc/cpuinfo").read_text().split()
    if "Core: Prescott" not in loaded.stdout + loaded.stderr or "avx2" not in flags:
        return {}
    core = "SkylakeX" if "avx512f" in flags else "Haswell"
    print(f"OpenBLAS does not know this processor: genuine Caffe runs with OPENBLAS_CORETYPE={core}\n")
    return {"OPENBLAS_CORETYPE": core}


def print_table(genuine: Times, ours: Times, threshold: float) -> None:
    """Layers that take more than `threshold` ms in either program."""
    print("| layer | forward, genuine | forward, ours | backward, genuine | backward, ours |")
    print("|---|---|---|---|---|")
    for layer in dict.fromkeys(layer for layer, _ in genuine):
        row = [times[layer, which] for which in PASSES for times in (genuine, ours)]
        if max(row) > threshold:
            print(f"| {layer} | " + " | ".join(f"{value:.1f}" for value in row) + " |")


def main() -> None:
    """Run both programs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "prototxt" / "voc21" / "crfrnn_deploy.prototxt")
    parser.add_argument("--caffe", type=Path, help="the genuine caffe command (default: that of the tests)")
    parser.add_argument("--plugin", type=Path, default=REPOSITORY / "build" / "caffe-plugin" / "libcrfrnn_caffe.so")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=20, help="leave out layers faster than this (ms)")
    arguments = parser.parse_args()
    genuine = arguments.caffe or test_caffe() / ".temp_release" / "tools" / "caffe"
    if not arguments.plugin.exists():
        sys.exit(f"error: no plugin {arguments.plugin}; make caffe-plugin CAFFE_ROOT=<folder of Caffe> compiles it")
    threads = {"OMP_NUM_THREADS": str(arguments.threads)}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "net.prototxt"
        convert = [sys.executable, "-m", "crfasrnn.commands.main", "model", "stock", str(arguments.model), str(model)]
        if subprocess.run(convert).returncode:
            sys.exit(1)
        with model.open("a") as file:
            file.write("force_backward: true\n")  # else our net, which nobody trains, leaves the backward pass out
        preloaded = threads | blas_environment(genuine) | {"LD_PRELOAD": str(arguments.plugin)}
        theirs = caffe_time([str(genuine)], model, arguments.iterations, preloaded)
        ours = caffe_time([sys.executable, "-m", "caffe"], model, arguments.iterations, threads)
    print(f"{arguments.model.name}, milliseconds, {arguments.threads} threads, mean of {arguments.iterations}\n")
    print_table(theirs, ours, arguments.threshold)


if __name__ == "__main__":
    main()
