"""Time and peak memory of DeepLabv3 on MobileNetV2, alone and with CRF-RNN (T = 10), beside torch's modules of the same weights.

    python benchmarks/bench_deeplab.py [--threads 1,2]

Each row is a process of its own, so that peak memory (resident set, as the kernel counts it) belongs to it alone; best and median
are of the passes after the first one. The table of results is kept in benchmarks/README.md.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

# The network alone in torch, in Caffe's files run as `crfasrnn segment` runs them; that with its CRF; and with all around it.
WAYS = (
    *("torch eager", "torch channels last", "torch compiled", "net float32", "net bf16", "whole float32", "whole bf16"),
    *("segment float32", "segment bf16"),
)
HEIGHT, WIDTH = 375, 500


def photograph() -> np.ndarray:
    """A photograph of scikit-image's, BGR; importing skimage.data would add 25 MB to the peak."""
    import cv2

    folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
    image = cv2.imread(str(Path(folder) / "data" / "astronaut.png"))
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def in_torch(definition: Any, weights: dict[str, list[np.ndarray]]) -> torch.nn.Module:
    """The network of a prototxt as a torch module; from RGB between -1 and 1 that fills the canvas to the scores of all pixels."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict()
            for layer in (layer for layer in definition.layer if layer.type == "Convolution" and layer.name in weights):
                weight, *bias = (torch.from_numpy(blob.copy()) for blob in weights[layer.name])
                p = layer.convolution_param
                stride, dilation, pad = (
                    field[0] if len(field) else 1 for field in (p.stride, p.dilation, p.pad or [0])
                )
                shape = weight.shape[1] * p.group, weight.shape[0], weight.shape[2]
                part = nn.Conv2d(*shape, stride, pad, dilation, p.group, bias=bool(bias))
                part.weight.data = weight
                if bias:
                    part.bias.data = bias[0]
                self.parts[layer.name] = part

        def forward(self, canvas: torch.Tensor) -> torch.Tensor:
            blobs = {"canvas": canvas}
            for layer in definition.layer:
                if not layer.bottom or any(bottom not in blobs for bottom in layer.bottom):
                    continue
                x = blobs[layer.bottom[0]]
                if layer.name in self.parts:
                    x = self.parts[layer.name](x)
                elif layer.type == "Clip":
                    x = nn.functional.relu6(x)
                elif layer.type == "ReLU":
                    x = x.relu()
                elif layer.type in ("Eltwise", "Bias"):
                    other = blobs[layer.bottom[1]]
                    x = x + (other if other.dim() == 4 else other[..., None, None])
                elif layer.type == "Pooling":
                    x = x.mean((2, 3), keepdim=True)
                elif layer.type == "Flatten":
                    x = x.flatten(1)
                elif layer.type == "Deconvolution":
                    size = [16 * (n - 1) + 1 for n in x.shape[2:]]
                    return nn.functional.interpolate(x, size, mode="bilinear", align_corners=True)
                blobs[layer.top[0]] = x
            raise AssertionError("no scores")

    return Network().eval()


def step_of(way: str) -> Callable[[], object]:
    """What one way does in one pass."""
    import numpy as np
    import torch

    import caffe
    from caffe.fastpath.inference import Inference
    from caffe.proto import text
    from crfasrnn.segmentation.models import DEFAULT, find_model, resource_folder

    caffe.init_log(1)  # warnings alone
    kind, _, how = way.partition(" ")
    files = find_model(DEFAULT)
    if kind == "segment":
        from crfasrnn import Segmenter

        image, segmenter = photograph(), Segmenter(precision=how)
        return lambda: segmenter.segment(image)
    whole = files.prototxt if kind == "whole" else resource_folder("prototxt") / "deeplab" / "deeplab_deploy.prototxt"
    net = caffe.Net(str(whole), caffe.TEST)
    net.copy_from(str(files.weights))
    if kind != "torch":
        net.blobs["data"].reshape(1, 3, HEIGHT, WIDTH)
        net.blobs["data"].data[0] = (
            photograph().transpose(2, 0, 1) - np.float32([103.939, 116.779, 123.68])[:, None, None]
        )
        return Inference(net, how).forward
    weights = {name: [blob.data for blob in blobs] for name, blobs in net.params.items()}
    module = in_torch(
        text.read_net(whole), {name: w for name, w in weights.items() if name not in ("points", "framed")}
    )
    canvas = torch.zeros(1, 3, 16 * -(-(HEIGHT - 1) // 16) + 1, 16 * -(-(WIDTH - 1) // 16) + 1)
    canvas[0, :, :HEIGHT, :WIDTH] = torch.from_numpy(photograph()[..., ::-1].copy()).permute(2, 0, 1) / 127.5 - 1
    if how != "eager":
        module, canvas = (
            module.to(memory_format=torch.channels_last),
            canvas.contiguous(memory_format=torch.channels_last),
        )
    compiled = torch.compile(module) if how == "compiled" else module

    def run() -> object:
        with torch.inference_mode():
            return compiled(canvas)

    check(run(), net)
    return run


def check(scores: Any, net: Any) -> None:
    """The module is the network, or its time says nothing."""
    import numpy as np

    net.blobs["data"].reshape(1, 3, HEIGHT, WIDTH)
    net.blobs["data"].data[0] = photograph().transpose(2, 0, 1) - np.float32([103.939, 116.779, 123.68])[:, None, None]
    expected = net.forward()["coarse"]
    error = np.abs(scores[..., :HEIGHT, :WIDTH].numpy() - expected).max() / np.abs(expected).max()
    assert error < 1e-4, error


def measure(way: str, repeats: int) -> None:
    """Run one way; prints one row."""
    import torch

    step, seconds = step_of(way), []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = " | ".join(f"{t:.3f}" for t in (seconds[0], min(seconds[1:]), statistics.median(seconds[1:])))
    print(f"| {way} | {torch.get_num_threads()} | {times} | {peak:.0f} |", flush=True)


def main() -> None:
    """Run each way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", default="1,2", help="a table for each (1,2)")
    parser.add_argument("--repeats", type=int, default=10, help="passes after the first (10)")
    parser.add_argument("--way", choices=WAYS, help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.way:
        import torch

        torch.set_num_threads(int(arguments.threads))
        measure(arguments.way, arguments.repeats)
        return
    print(
        "| way | threads | first pass (s) | best (s) | median (s) | peak memory (MiB) |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for threads in arguments.threads.split(","):
        for way in WAYS:
            options = ["--way", way, "--threads", threads, "--repeats", str(arguments.repeats)]
            subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()
