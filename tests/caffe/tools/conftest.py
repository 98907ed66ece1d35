"""Images to work on, and what a tool must do with a wrong command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.caffe.image_sets import write_photos

Main = Callable[[list[str]], int]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with four small images, one grey, and beside it list.txt."""
    return write_photos(tmp_path)


@pytest.fixture
def complaint(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Main, list[str]], str]:
    """Runs a tool that must fail beside the folder `images`, list.txt and bad.txt, and leave nothing; returns its stderr."""
    monkeypatch.chdir(photos.parent)
    Path("bad.txt").write_text("what is this\n")

    def complaint_of(tool: Main, words: list[str]) -> str:
        before = sorted(Path().rglob("*"))
        assert tool(words) == 1
        assert sorted(Path().rglob("*")) == before
        return capfd.readouterr().err

    return complaint_of
