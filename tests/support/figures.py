"""Two methods' label maps of seven photographs, one of which gains on the other by a known amount."""

from __future__ import annotations

from pathlib import Path

from crfasrnn.datasets import Dataset, folder
from crfasrnn.pictures.label_maps import write_labels
from support.datasets import labels_of, photograph

# Columns out of 16 that the last method gets right where the first one gets half of them: its gain rises with the number.
RIGHT = {"e": 16, "b": 13, "g": 11, "a": 9, "c": 6, "d": 3, "f": 0}


def two_methods(root: Path) -> tuple[Dataset, Path, Path]:
    """Photographs in images/, their truth, class 1 alone, in masks/, and label maps in first/ and last/."""
    for name in ("masks", "first", "last"):
        (root / name).mkdir()
    truth = labels_of(dict.fromkeys(range(12), 1))
    for name, right in RIGHT.items():
        photograph(root / "images" / f"{name}.jpg")
        write_labels(root / "masks" / f"{name}.png", truth)
        for method, columns in (("first", 8), ("last", right)):
            labels = truth.copy()
            labels[:, columns:] = 0
            write_labels(root / method / f"{name}.png", labels)
    return folder(root / "images", root / "masks"), root / "first", root / "last"
