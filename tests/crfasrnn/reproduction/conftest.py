"""What the tests of reproductions share: a miniature of VOC, and table 1 made from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import status
from support.crfasrnn.reproduction import SEEDS, first_call, miniature_voc

from crfasrnn.commands.shared.options import OUT_OF_TIME


@pytest.fixture(scope="session")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like VOC2012 with twelve images of three classes."""
    return miniature_voc(tmp_path_factory.mktemp("voc") / "VOC2012")


@pytest.fixture(scope="session")
def output(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with table 1, made in two pieces: the first call's time is over at once. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("reproduce") / "out"
    assert status("reproduce", "table1", *first_call(voc, folder), "--budget-minutes", "1e-6") == OUT_OF_TIME
    assert not (folder / "table1.md").exists()
    assert (
        status("reproduce", "table1", "--output", folder, *SEEDS, "--threads", 1, "--write-docs", folder / "RESULTS.md")
        == 0
    )
    return folder
