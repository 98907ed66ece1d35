"""The archive for VOC's server: its layout, its numbers, and nothing left of one that failed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crfasrnn.evaluation.voc_archive import voc_archive
from crfasrnn.pictures.label_maps import voc_palette


def test_labels_become_palette_pictures_of_vocs_numbers(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (9, 7)).astype(np.uint8)
    for name in ("a.tgz", "b.tgz"):
        with voc_archive(tmp_path / name, (0, 8, 15)) as add:
            add("2008_000001", labels)
            add("2008_000002", labels[::-1])
            assert not (tmp_path / name).exists()
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()
    with tarfile.open(tmp_path / "a.tgz") as archive:
        folder = "results/VOC2012/Segmentation/comp6_test_cls"
        assert archive.getnames() == [f"{folder}/2008_000001.png", f"{folder}/2008_000002.png"]
        file = archive.extractfile(f"{folder}/2008_000001.png")
        assert file is not None
        picture = Image.open(io.BytesIO(file.read()))
    numbers = np.array([0, 8, 15])[labels]
    np.testing.assert_array_equal(np.array(picture), numbers)
    np.testing.assert_array_equal(np.array(picture.convert("RGB")), voc_palette()[numbers])


def test_year_and_competition_can_be_chosen(tmp_path: Path) -> None:
    with voc_archive(tmp_path / "a.tgz", (0,), "VOC2010", "comp5") as add:
        add("x", np.zeros((2, 2), np.uint8))
    with tarfile.open(tmp_path / "a.tgz") as archive:
        assert archive.getnames() == ["results/VOC2010/Segmentation/comp5_test_cls/x.png"]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), voc_archive(tmp_path / "a.tgz", (0,)):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
