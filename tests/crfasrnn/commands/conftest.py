"""A folder like VOC2012 for the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.models import CAT, PERSON

from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder like VOC2012 with two photographs whose masks show cats, dogs, cows and void."""
    root = tmp_path / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(2)
    for name, image in (("a", CAT), ("b", PERSON)):
        write_image(root / "JPEGImages" / f"{name}.jpg", image)
        labels = rng.choice(np.array([0, 8, 10, 12, 255], np.uint8), image.shape[:2])
        write_labels(root / "SegmentationClass" / f"{name}.png", labels)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    return root
