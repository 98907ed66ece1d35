"""Where the commands run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.reference_data import shared_path


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the nets, solvers, data and weights that the recorded logs come from."""
    for folder in ("solver", "logs", "files"):
        for source in shared_path("golden", folder).iterdir():
            if source.suffix in (".prototxt", ".h5", ".txt", ".caffemodel", ".solverstate"):
                shutil.copy(source, tmp_path)
    return tmp_path
