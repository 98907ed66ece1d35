"""The process-wide state: mode, device, precision, random generators."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe import mode
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def test_phases_are_those_of_the_messages() -> None:
    assert (mode.TRAIN, mode.TEST) == (caffe_pb2.TRAIN, caffe_pb2.TEST)


def test_the_cpu_is_where_it_begins_and_ends() -> None:
    mode.set_mode_cpu()
    assert mode.device() == torch.device("cpu")
    assert mode.device() is mode.device()


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_a_gpu_that_is_not_there_changes_nothing() -> None:
    for call in (mode.set_mode_gpu, lambda: mode.set_device(0)):
        with pytest.raises(CaffeError, match="CUDA device"):
            call()
    assert mode.device().type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")
def test_mode_and_device_on_cuda() -> None:
    try:
        mode.set_mode_gpu()
        assert mode.device() == torch.device("cuda", 0)
        assert not torch.backends.cuda.matmul.allow_tf32
        with pytest.raises(CaffeError, match="Cannot use GPU device 99"):
            mode.set_device(99)
        mode.set_device(torch.cuda.device_count() - 1)
        assert mode.device().index == torch.cuda.device_count() - 1
    finally:
        mode.set_device(0)
        mode.set_mode_cpu()


def test_precisions_and_their_words() -> None:
    assert [mode.dtype(name) for name in mode.PRECISIONS] == [torch.float32, torch.bfloat16]
    assert not mode.half_convolutions()
    with mode.precision("bf16"):
        assert mode.half_convolutions()
        with mode.precision("float32"):
            assert not mode.half_convolutions()
        assert mode.half_convolutions()
    assert not mode.half_convolutions()
    for call in (mode.dtype, mode.check_precision, lambda name: mode.precision(name).__enter__()):
        with pytest.raises(CaffeError, match="precision is one of float32, bf16, not 'half'"):
            call("half")


def test_the_precision_comes_back_after_an_error() -> None:
    def fail() -> None:
        with mode.precision("bf16"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not mode.half_convolutions()


@pytest.mark.usefixtures("compute")
def test_who_insists_on_weights_does_so_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mode.GO_ON, raising=False)
    assert not mode.insists_on_weights()
    with mode.insisting_on_weights():
        assert mode.insists_on_weights()
        monkeypatch.setenv(mode.GO_ON, "1")
        assert not mode.insists_on_weights()
        monkeypatch.setenv(mode.GO_ON, "0")
        assert mode.insists_on_weights()
    assert not mode.insists_on_weights()


def test_a_seed_repeats_every_draw() -> None:
    drawn = []
    for seed in (3, 3, 4):
        mode.set_random_seed(seed)
        for on in (None, mode.device()):
            drawn.append(torch.randn(3, generator=mode.generator(on), device=on).tolist())
    assert drawn[0:2] == drawn[2:4]
    assert drawn[4] not in drawn[:2]
    assert drawn[5] not in drawn[:2]


def test_a_generator_stays_the_same() -> None:
    assert mode.generator() is mode.generator(torch.device("cpu"))


CHILDREN = """
import multiprocessing, torch
import caffe

NET = '''
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 90 dim: 80 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 24 kernel_size: 3 weight_filler { type: "constant" value: 0.1 } } }
layer { name: "scale" type: "Power" bottom: "conv" top: "scale" power_param { scale: 2 shift: 1 } }
'''

def total(net=None):
    if net is None:
        with open("net.prototxt", "w") as file:
            file.write(NET)
        net = caffe.Net("net.prototxt", caffe.TEST)
    net.blobs["data"].data[...] = 1
    return float(net.forward()["scale"].sum())

class Totals(torch.utils.data.Dataset):
    def __init__(self, net):
        self.net = net
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return total(self.net)

if __name__ == "__main__":
    torch.set_num_threads(2)
    results = [total()]
    net = caffe.Net("net.prototxt", caffe.TEST)
    results.append(total(net))
    results += torch.utils.data.DataLoader(Totals(net), batch_size=None, num_workers=1, multiprocessing_context="fork")
    for method in ("fork", "forkserver", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            results.append(pool.apply(total))
    print(len(results), len(set(map(float, results))))
"""


def test_children_compute_what_the_parent_does(tmp_path: Path) -> None:
    """Those made by fork have none of the threads that torch's OpenMP would wait for."""
    (tmp_path / "children.py").write_text(CHILDREN)
    command = [sys.executable, "children.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["7", "1"], done.stderr


def test_seeds_are_whole_numbers_of_64_bits() -> None:
    for seed in (np.int64(5), 5.0, -1, 2**64 - 1):
        mode.set_random_seed(seed)
    for wrong, error in (("5", TypeError), (None, TypeError), (2.5, ValueError), (2**64, ValueError)):
        with pytest.raises(error, match="seed must be an integer"):
            mode.set_random_seed(wrong)
