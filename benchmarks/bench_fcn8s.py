"""Time and peak memory of the published FCN-8s + CRF-RNN (21 classes, random weights): python benchmarks/bench_fcn8s.py [--gpu]

Each row is a process of its own, so that peak memory (resident set, as the kernel counts it) belongs to it alone. The first pass
includes what PyTorch prepares once; best and median are of the ones after it. The table of results is kept in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    import caffe

NETS = ("fcn8s", "crfrnn")
PROTOTXT = Path(__file__).resolve().parent.parent / "prototxt" / "voc21"


# How a net is run: pycaffe's way, every blob kept; as `crfasrnn segment` does, in two precisions; one training step as
# `caffe train` makes it, in two precisions.
WAYS = ("pycaffe", "float32", "bf16", "train", "train bf16")


def measure(name: str, size: int, repeats: int, way: str, gpu: bool) -> None:
    """Load one net and run it; prints one row."""
    import torch

    import caffe
    from caffe import mode
    from caffe.fastpath.inference import Inference

    caffe.init_log(1)  # warnings alone
    if gpu:
        caffe.set_mode_gpu()
    began = time.perf_counter()
    caffe.set_random_seed(1)
    solver = training(name) if way.startswith("train") else None
    if solver:
        solver.save_memory()  # as `caffe train` does
    net = solver.net if solver else caffe.Net(str(PROTOTXT / f"{name}_deploy.prototxt"), caffe.TEST)
    fill(net, size)
    loaded = time.perf_counter() - began
    step: Callable[[], object]
    if solver:
        step = partial(solver.step, 1)
    else:
        step = net.forward if way == "pycaffe" else Inference(net, way).forward
    seconds = []
    with mode.precision("bf16" if way == "train bf16" else "float32"):
        for _ in range(1 + repeats):
            start = time.perf_counter()
            step()
            if gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    if gpu:
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    digits = 4 if gpu else 2
    times = " | ".join(
        f"{t:.{digits}f}" for t in (loaded, seconds[0], min(seconds[1:]), statistics.median(seconds[1:]))
    )
    print(f"| {name} | {way} | {size} x {size} | {times} | {peak:.0f} |", flush=True)


def training(name: str) -> caffe.Solver:
    """The paper's solver for the deploy net, with labels, the paper's loss and five mean-field iterations."""
    import caffe
    from caffe.proto import caffe_pb2, text

    definition = text.read_net(PROTOTXT / f"{name}_deploy.prototxt")
    (output,) = {top for layer in definition.layer for top in layer.top} - {
        bottom for layer in definition.layer for bottom in layer.bottom
    }
    label = definition.layer.add(name="label", type="Input", top=["label"])
    label.input_param.shape.add(dim=[1, 1, 500, 500])
    loss = definition.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[output, "label"], top=["loss"])
    loss.loss_param.normalize = False
    for layer in definition.layer:
        if layer.type == "MultiStageMeanfield":
            layer.multi_stage_meanfield_param.num_iterations = 5
    settings = caffe_pb2.SolverParameter(base_lr=1e-13, lr_policy="fixed", momentum=0.99, weight_decay=0.0005)
    settings.net_param.CopyFrom(definition)
    return caffe.get_solver(settings)


def fill(net: caffe.Net, size: int) -> None:
    """Random weights, and a photograph, for the CRF's time depends on how many different colours lie beside each other."""
    import numpy as np

    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        weight = blobs[0].data
        if weight.ndim == 4 and weight.shape[0] > 1:
            # In place and without a second copy: the peak is what is measured.
            rng.standard_normal(out=weight, dtype=np.float32)
            weight *= (2 / max(1, weight[0].size)) ** 0.5
    for name in net.inputs:
        net.blobs[name].reshape(1, net.blobs[name].shape[1], size, size)
    net.blobs["data"].data[...] = photograph(size)


def photograph(size: int) -> np.ndarray:
    """One as the net sees it, 3 x size x size. Importing skimage.data would add 25 MB to the peak."""
    import cv2

    folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
    picture = cv2.imread(str(Path(folder) / "data" / "astronaut.png"))
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) - 115.0


def main() -> None:
    """Run each net in a process of its own, then `caffe time` for the table by layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=500, help="height and width of the image (default: 500)")
    parser.add_argument("--repeats", type=int, default=5, help="passes after the first (default: 5)")
    parser.add_argument("--net", choices=NETS, help="only this net, in this process")
    parser.add_argument("--way", choices=WAYS, default="float32", help="with --net: how it is run")
    parser.add_argument("--gpu", action="store_true", help="in GPU mode; peak memory is then what tensors held there")
    parser.add_argument("--layers", action="store_true", help="also print caffe time's table by layer")
    arguments = parser.parse_args()
    if arguments.net:
        measure(arguments.net, arguments.size, arguments.repeats, arguments.way, arguments.gpu)
        return
    print("| net | way | image | load (s) | first pass (s) | best (s) | median (s) | peak memory (MiB) |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    options = [
        "--size",
        str(arguments.size),
        "--repeats",
        str(arguments.repeats),
        *(["--gpu"] if arguments.gpu else []),
    ]
    for name in NETS:
        for way in WAYS:
            subprocess.run([sys.executable, __file__, "--net", name, "--way", way, *options], check=True)
    if arguments.layers:
        model = str(PROTOTXT / "crfrnn_deploy.prototxt")
        command = [sys.executable, "-m", "caffe", "time", "-model", model, "-phase", "TEST", "-iterations", "3"]
        subprocess.run([*command, *(["-gpu", "0"] if arguments.gpu else [])], check=True)


if __name__ == "__main__":
    main()
