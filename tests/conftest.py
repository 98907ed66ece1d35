"""Shared fixtures: where the golden numbers of genuine Caffe lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from simulated_device import simulated_device

import caffe

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CRFASRNN_SHARED", REPOSITORY.parent / "shared"))


if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes that share the cores; theirs inherit it
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def shared_path(*parts: str) -> Path:
    """A path of the reference data beside the checkout; skips the calling test, loudly, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data not found: {path} (set CRFASRNN_SHARED to its folder)")
    return path


@pytest.fixture(params=["cpu", "simulated", "cuda"])
def compute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs the test on the CPU, on a simulated device, and in GPU mode; where there is no GPU the last is skipped.

    A module whose every test is to run so says `pytestmark = pytest.mark.usefixtures("compute")`.
    """
    if request.param == "simulated":
        with simulated_device():
            yield request.param
        return
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no CUDA device")
        # Tests compare two runs bit for bit.
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        caffe.set_mode_gpu()
    yield request.param
    caffe.set_mode_cpu()


def golden_cases(folder: str) -> list[Path]:
    """All .npz files of one folder of golden/, or of the small copy in tests/golden where the full set is absent."""
    for root in (SHARED / "golden", REPOSITORY / "tests" / "golden"):
        cases = sorted((root / folder).glob("*.npz"))
        if cases:
            return cases
    return []


# For programs that measure themselves: unlike ru_maxrss it is not the starting process's own.
PEAK_KIB = """
import re
def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
