"""Shared fixtures: where the golden numbers of genuine Caffe lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CRFASRNN_SHARED", REPOSITORY.parent / "shared"))


def shared_path(*parts: str) -> Path:
    """A path of the reference data beside the checkout; skips the calling test, loudly, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data not found: {path} (set CRFASRNN_SHARED to its folder)")
    return path


def golden_cases(folder: str) -> list[Path]:
    """All .npz files of one folder of golden/, or of the small copy in tests/golden where the full set is absent."""
    for root in (SHARED / "golden", REPOSITORY / "tests" / "golden"):
        cases = sorted((root / folder).glob("*.npz"))
        if cases:
            return cases
    return []
