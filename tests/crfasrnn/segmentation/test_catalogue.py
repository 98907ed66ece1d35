"""What can be chosen is told truly: files, sizes, checksums, and where a published model is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.reference_data import REPOSITORY

from crfasrnn.segmentation.catalogue import catalogue
from crfasrnn.segmentation.models import DEFAULT, PUBLISHED, find_model, model_names


def test_bundled_models_are_told_as_they_are() -> None:
    entries = {entry.name: entry for entry in catalogue()}
    assert list(entries) == [DEFAULT, *sorted(set(model_names()) - {DEFAULT}), *PUBLISHED]
    for name in model_names():
        folder = REPOSITORY / "models" / name
        weights = folder / json.loads((folder / "model.json").read_text())["weights"]
        content = weights.read_bytes()
        assert f"{len(content) / 1e6:.1f} MB; sha256 {hashlib.sha256(content).hexdigest()}" in entries[name].text()
        assert "licence: " in entries[name].text()
        assert "mean IU" in entries[name].text()
        assert find_model(name).weights == weights
    assert "bundled, the default" in entries[DEFAULT].text()
    assert "--model" not in entries[DEFAULT].usage


def test_where_a_published_model_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFASRNN_MODELS", str(tmp_path))
    (model,) = PUBLISHED.values()

    def state() -> str:
        return {entry.name: entry for entry in catalogue()}[model.name].state

    assert state() == f"to be downloaded into {tmp_path}"
    (tmp_path / model.file).write_bytes(b"something else")
    assert state() == f"{tmp_path / model.file} is another file: its sha1 differs"
    monkeypatch.setitem(PUBLISHED, model.name, replace(model, sha1=hashlib.sha1(b"something else").hexdigest()))
    assert state() == f"here: {tmp_path / model.file}"


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFASRNN_MODELS", str(tmp_path))
    (model,) = PUBLISHED.values()
    (tmp_path / model.file).mkdir()
    *bundled, published = catalogue()
    assert len(bundled) == len(model_names())
    assert published.state == f"{tmp_path / model.file} cannot be read: Is a directory"
