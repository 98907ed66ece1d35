"""The bundled model in onnxruntime, with its CRF and without, beside torch: python benchmarks/bench_onnx.py

Needs the extra `onnx`. One thread each, the best of three; and how far the scores are from torch's, in units of the largest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from crfasrnn.export.network import CrfModule
from crfasrnn.export.write import INPUT, exportable, write_onnx
from crfasrnn.segmentation.models import DEFAULT, find_model
from crfasrnn.segmentation.segmenter import deploy_net


def best(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds, and what it gives."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(375, 500), metavar=("HEIGHT", "WIDTH"))
    height, width = parser.parse_args().shape
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = find_model(DEFAULT)
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (1, 3, -(-height // 25), -(-width // 25))).repeat(25, 2).repeat(25, 3)
    image = np.clip(blocks[:, :, :height, :width] + rng.normal(0, 6, (1, 3, height, width)), 0, 255).astype(np.float32)
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        for crf in (True, False):
            write_onnx(exportable(files, height, width, crf), Path(folder) / "model.onnx")
            sessions.append(onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options))
    whole, network = sessions
    module, crf_alone = exportable(files, height, width).module, CrfModule(deploy_net(files))
    with torch.inference_mode():
        torch_time, expected = best(lambda: module(torch.from_numpy(image)).numpy())
        whole_time, scores = best(lambda: whole.run(None, {INPUT: image})[0])
        network_time, unary = best(lambda: network.run(None, {INPUT: image})[0])
        crf_time, refined = best(lambda: crf_alone(torch.from_numpy(unary), torch.from_numpy(image)).numpy())
    rows = (
        ("torch", torch_time, expected),
        ("onnxruntime", whole_time, scores),
        ("onnxruntime, then the layer", network_time + crf_time, refined),
    )
    print(f"{height} x {width}; the network alone in onnxruntime {network_time:.2f} s, the layer {crf_time:.2f} s")
    for name, seconds, result in rows:
        off = np.abs(result - expected).max() / np.abs(expected).max()
        print(
            f"{name:<28} {seconds:6.2f} s   off by {off:.1e}, labels {(result.argmax(1) != expected.argmax(1)).sum()}"
        )


if __name__ == "__main__":
    main()
