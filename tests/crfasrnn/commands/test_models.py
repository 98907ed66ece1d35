"""`crfasrnn models` names what `--model` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import status

from crfasrnn.pictures.photographs import write_image
from crfasrnn.segmentation.models import DEFAULT, PUBLISHED, model_names


def test_every_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("models") == 0
    listed = capsys.readouterr().out
    for name in (*model_names(), *PUBLISHED):
        assert f"\n{name}  (" in f"\n{listed}"
    assert listed.startswith(f"{DEFAULT}  (bundled, the default)")


def test_a_published_model_that_is_not_here_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRFASRNN_MODELS", str(tmp_path))
    (model,) = PUBLISHED.values()
    write_image(tmp_path / "photo.png", np.zeros((8, 8, 3), np.uint8))
    assert status("segment", tmp_path / "photo.png", "--model", model.name) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(
        f"error: model {model.name!r} is not here: download {model.file} (540 MB, sha1 {model.sha1})"
    )
    assert model.address in error
    assert str(tmp_path) in error
    assert model.licence in error
