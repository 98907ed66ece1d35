"""Time and peak memory of the published FCN-8s + CRF-RNN (21 classes, random weights) on the CPU: python benchmarks/bench_fcn8s.py

Each row is a process of its own, so that peak memory (resident set, as the kernel counts it) belongs to it alone. The first forward
includes what PyTorch prepares once; the median is of the ones after it. The table of results is kept in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

NETS = ("fcn8s", "crfrnn")
PROTOTXT = Path(__file__).resolve().parent.parent / "prototxt" / "voc21"


def measure(name: str, size: int, repeats: int, keep_blobs: bool) -> None:
    """Load one net and run it; prints one row."""
    import cv2
    import numpy as np
    import skimage.data

    import caffe

    began = time.perf_counter()
    caffe.set_random_seed(1)
    net = caffe.Net(str(PROTOTXT / f"{name}_deploy.prototxt"), caffe.TEST)
    net.frees_blobs = not keep_blobs
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        weight = blobs[0].data
        if weight.ndim == 4 and weight.shape[0] > 1:
            # In place and without a second copy: the peak is what is measured.
            rng.standard_normal(out=weight, dtype=np.float32)
            weight *= (2 / max(1, weight[0].size)) ** 0.5
    loaded = time.perf_counter() - began
    net.blobs["data"].reshape(1, 3, size, size)
    # A photograph: the CRF's time depends on how many different colours lie beside each other.
    photograph = cv2.resize(skimage.data.astronaut()[..., ::-1], (size, size), interpolation=cv2.INTER_AREA)
    net.blobs["data"].data[...] = photograph.transpose(2, 0, 1) - 115.0
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        net.forward()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = f"{loaded:.2f} | {seconds[0]:.2f} | {statistics.median(seconds[1:]):.2f}"
    print(f"| {name} | {'all' if keep_blobs else 'outputs'} | {size} x {size} | {times} | {peak:.0f} |", flush=True)


def main() -> None:
    """Run each net in a process of its own, then `caffe time` for the table by layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=500, help="height and width of the image (default: 500)")
    parser.add_argument("--repeats", type=int, default=5, help="forwards after the first (default: 5)")
    parser.add_argument("--net", choices=NETS, help="only this net, in this process")
    parser.add_argument(
        "--keep-blobs", action="store_true", help="with --net: keep all blobs readable, as pycaffe does"
    )
    parser.add_argument("--layers", action="store_true", help="also print caffe time's table by layer")
    arguments = parser.parse_args()
    if arguments.net:
        measure(arguments.net, arguments.size, arguments.repeats, arguments.keep_blobs)
        return
    print("| net | blobs kept | image | load (s) | first forward (s) | median forward (s) | peak memory (MiB) |")
    print("|---|---|---|---|---|---|---|", flush=True)
    options = ["--size", str(arguments.size), "--repeats", str(arguments.repeats)]
    for name in NETS:
        for keep in ([], ["--keep-blobs"]):
            subprocess.run([sys.executable, __file__, "--net", name, *options, *keep], check=True)
    if arguments.layers:
        model = str(PROTOTXT / "crfrnn_deploy.prototxt")
        subprocess.run(
            [sys.executable, "-m", "caffe", "time", "-model", model, "-phase", "TEST", "-iterations", "3"], check=True
        )


if __name__ == "__main__":
    main()
