"""Memory of a process whose nets change their size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from caffe.net import memory

SIZES = """
import ctypes, sys
import numpy as np, torch
torch.set_num_threads(1)
import caffe

NET = '''
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 240 dim: 240 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 48 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "crf" type: "MultiStageMeanfield" bottom: "conv2" bottom: "conv2" bottom: "data" top: "crf" }
'''

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

open("net.prototxt", "w").write(NET)
net = caffe.Net("net.prototxt", caffe.TEST)
random = np.random.default_rng(0)

def run(height, width):
    net.blobs["data"].reshape(1, 3, height, width)
    net.reshape()
    net.blobs["data"].data[...] = random.random((1, 3, height, width)) * 255
    net.forward()
    return resident()

one_size = max(run(240, 240) for _ in range(4))
sizes = [run(*random.integers(60, 240, 2)) for _ in range(int(sys.argv[1]))]
print(one_size, max(sizes[: len(sizes) // 2]), max(sizes[len(sizes) // 2 :]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's count of resident memory")
def test_many_sizes_need_little_more_than_the_largest(tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text(SIZES)
    command = [sys.executable, "sizes.py", "100"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert re.fullmatch(r"[\d.]+ [\d.]+ [\d.]+\n", done.stdout), done.stderr
    one_size, first, second = map(float, done.stdout.split())
    assert max(first, second) < 1.2 * one_size
    assert second < 1.05 * first


def test_memory_can_be_given_back_at_any_time() -> None:
    memory.give_back_freed_memory()
