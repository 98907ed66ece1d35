"""Which device -gpu and the solver choose."""

from __future__ import annotations

import logging

import pytest
import torch

from caffe import mode
from caffe.commands import device
from caffe.errors import CaffeError


def test_numbers_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.numbers("") == []
    assert device.numbers("2,0") == [2, 0]
    for wrong in ("x", "0,", "1.5"):
        with pytest.raises(CaffeError, match=f"-gpu takes device numbers separated by commas, or all, not '{wrong}'"):
            device.numbers(wrong)
    assert device.numbers("all") == list(range(torch.cuda.device_count()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
@pytest.mark.parametrize(("stated", "warned"), [("CPU", False), (None, True)])
def test_without_a_gpu_the_cpu_is_used(stated: str | None, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With a word of warning where the solver does not ask for it."""
    caplog.set_level(logging.INFO, "caffe")
    device.use("", stated)
    assert mode.device().type == "cpu"
    assert caplog.messages[-1] == "Use CPU."
    assert any("states no solver_mode" in message for message in caplog.messages) == warned


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_a_gpu_that_is_not_there_is_one_error() -> None:
    for gpu, stated in (("0", "CPU"), ("", "GPU")):
        with pytest.raises(CaffeError, match="CUDA device"):
            device.use(gpu, stated)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")
@pytest.mark.parametrize(("gpu", "stated"), [("0", "CPU"), ("all", "CPU"), ("", "GPU"), ("", None)])
def test_the_gpu_is_used_on_cuda(gpu: str, stated: str | None) -> None:
    try:
        device.use(gpu, stated)
        assert mode.device() == torch.device("cuda", 0)
    finally:
        mode.set_mode_cpu()
