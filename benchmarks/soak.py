"""Whether memory stays flat: sizes of pictures drawn at random, one after the other, for as long as one likes.

    python benchmarks/soak.py [--seconds N] [--seed N] [segmenter] [net] [densecrf]

Each runs in a process of its own, one after the other, with --together side by side. The first three sizes are 500 x 500, so that
what the largest needs, one after the other, is known; then they are 60 to 240 and, once in twenty-five, up to 500. Prints the
resident memory after the first size, after 200, the most since then, and the last; the exit status is 1 if it rose after the first
200 sizes by more than a fifth.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM, MOST, LARGEST = 200, 1.2, 500
_AT_FIRST = 3
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 60 dim: 60 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 16 kernel_size: 3 pad: 1 } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2" convolution_param { num_output: 16 kernel_size: 3 pad: 1 } }
layer { name: "up" type: "Deconvolution" bottom: "c2" top: "up"
  convolution_param { num_output: 16 kernel_size: 4 stride: 2 pad: 1 } }
layer { name: "norm" type: "LRN" bottom: "up" top: "norm" lrn_param { local_size: 5 } }
layer { name: "prob" type: "Softmax" bottom: "norm" top: "prob" }
"""
Work = Callable[[np.ndarray], object]


def segmenter() -> Work:
    """A photograph through the bundled model."""
    from crfasrnn import Segmenter

    return Segmenter("voc-animals-slim", size="native").segment


def net() -> Work:
    """A forward pass of a net whose input was reshaped."""
    from google.protobuf import text_format

    import caffe
    from caffe.proto import caffe_pb2

    caffe.init_log(2)
    made = caffe.Net(text_format.Parse(NET, caffe_pb2.NetParameter()), caffe.TEST)

    def run(image: np.ndarray) -> object:
        made.blobs["data"].reshape(1, 3, *image.shape[:2])
        return made.forward(data=image.transpose(2, 0, 1)[None])

    return run


def densecrf() -> Work:
    """A dense CRF over the picture's pixels."""
    from crfasrnn.densecrf import DenseCRF2D

    def run(image: np.ndarray) -> object:
        height, width = image.shape[:2]
        crf = DenseCRF2D(width, height, 5)
        crf.setUnaryEnergy(np.resize(image.ravel() / 100, (5, height * width)))
        crf.addPairwiseGaussian(3, 3)
        crf.addPairwiseBilateral(30, 13, image, 5)
        return crf.inference(3)

    return run


KINDS: dict[str, Callable[[], Work]] = {"segmenter": segmenter, "net": net, "densecrf": densecrf}


def resident() -> float:
    """MiB of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def soak(kind: str, seconds: float, seed: int) -> int:
    """Run one kind; returns the exit status."""
    import torch

    torch.set_num_threads(1)
    work, rng = KINDS[kind](), random.Random(seed)
    end, sizes = time.monotonic() + seconds, 0
    first = warm = most = last = 0.0
    while time.monotonic() < end or sizes <= WARM:
        largest = LARGEST if rng.random() < 0.04 else 240
        shape = (rng.randint(60, largest), rng.randint(60, largest), 3) if sizes >= _AT_FIRST else (LARGEST, LARGEST, 3)
        image = np.random.default_rng(sizes % 50).integers(0, 256, 3, np.uint8) * np.ones(shape, np.uint8)
        work(image)
        sizes, last = sizes + 1, resident()
        if sizes == 1:
            first = last
        if sizes <= WARM:
            warm = max(warm, last)
        else:
            most = max(most, last)
        if sizes in (1, WARM) or sizes % 2000 == 0:
            print(f"{kind:10} {sizes:6} sizes: {last:6.0f} MiB", flush=True)
    flat = most <= MOST * warm
    print(
        f"{kind:10} {sizes:6} sizes: first {first:.0f}, most of the first {WARM} {warm:.0f}, most since {most:.0f}, "
        f"last {last:.0f} MiB: {'flat' if flat else 'it grows'}",
        flush=True,
    )
    return 0 if flat else 1


def main() -> int:
    """Soak the kinds, each in a process of its own; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each kind (default 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", action="store_true", help="all side by side")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=", ".join(KINDS))
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no {', '.join(sorted(unknown))}, but {', '.join(KINDS)}")
    if options.here:
        return soak(options.kinds[0], options.seconds, options.seed)
    command = [sys.executable, __file__, "--here", "--seconds", str(options.seconds), "--seed", str(options.seed)]
    running, status = [], 0
    for kind in options.kinds or KINDS:
        running.append(subprocess.Popen([*command, kind]))
        if not options.together:
            status |= running.pop().wait()
    return max([status, *(process.wait() for process in running)])


if __name__ == "__main__":
    sys.exit(main())
