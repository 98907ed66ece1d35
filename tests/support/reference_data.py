"""Where reference data lie, and what of them a test uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
REPOSITORY = TESTS.parent
SHARED = Path(os.environ.get("CRFASRNN_SHARED", REPOSITORY.parent / "shared"))
# Small copies that are always there.
EXTRAS, FILES = (TESTS / "golden" / folder for folder in ("extras", "files"))


def shared_path(*parts: str) -> Path:
    """A path of the reference data beside the checkout; skips the calling test, loudly, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data not found: {path} (set CRFASRNN_SHARED to its folder)")
    return path


def golden_cases(folder: str) -> list[Path]:
    """All .npz files of one folder of golden/, or of the small copy in tests/golden where the full set is absent."""
    for root in (SHARED / "golden", TESTS / "golden"):
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
