"""The settings of a folder: which images they name, and that they stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.crfasrnn.reproduction import CLASSES, settings_of

from caffe.errors import CaffeError
from crfasrnn.reproduction.settings import Settings


def test_validation_images_must_not_be_trained_on(voc: Path) -> None:
    settings = Settings(str(voc), None, classes=CLASSES, train_lists=("train", "val"), held_out=2)
    with pytest.raises(CaffeError, match="'i08' is in the training lists and in 'val'"):
        settings.training()


def test_they_stay_as_they_were(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert Settings.stored(tmp_path) == {}
    settings.save(tmp_path)
    settings.save(tmp_path)
    assert Settings(**Settings.stored(tmp_path)) == settings  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match=r"holds experiments with scales \[40, 56\], now \[40\]: leave the option out"):
        replace(settings, scales=(40,)).save(tmp_path)


def test_a_folder_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.save(tmp_path)
    content = json.loads((tmp_path / "settings.json").read_text())
    del content["precision"]
    (tmp_path / "settings.json").write_text(json.dumps(content))
    settings.save(tmp_path)
    with pytest.raises(CaffeError, match="holds experiments with size 56, now 57"):
        replace(settings, size=57).save(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]"])
def test_damaged_ones_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(CaffeError, match=r"settings\.json: "):
        Settings.stored(tmp_path)
