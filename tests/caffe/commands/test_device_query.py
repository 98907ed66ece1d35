"""caffe device_query, with and without CUDA devices."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.commands import caffe


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_without_devices_it_fails_with_one_message(tmp_path: Path) -> None:
    said = caffe("device_query", "-gpu", "all", cwd=tmp_path, status=1)
    assert "Querying GPUs all" in said
    assert said.rstrip().endswith("PyTorch finds no CUDA device.")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")
def test_what_it_says_of_a_device_on_cuda(tmp_path: Path) -> None:
    said = caffe("device_query", "-gpu", "0", cwd=tmp_path)
    assert torch.cuda.get_device_name(0) in said
    assert "There is no GPU device 99" in caffe("device_query", "-gpu", "99", cwd=tmp_path, status=1)
