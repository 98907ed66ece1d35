"""Shared fixtures: where the golden numbers of genuine Caffe lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import caffe

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CRFASRNN_SHARED", REPOSITORY.parent / "shared"))


def shared_path(*parts: str) -> Path:
    """A path of the reference data beside the checkout; skips the calling test, loudly, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data not found: {path} (set CRFASRNN_SHARED to its folder)")
    return path


@pytest.fixture(params=["cpu", "cuda"])
def compute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs the test on the CPU and again in GPU mode, in full float32; where there is no GPU that is skipped."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no CUDA device")
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
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
