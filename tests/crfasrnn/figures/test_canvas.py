"""Pictures are written whole, in the format of their suffix, or not at all."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.figures.canvas import colour_patch, new_figure, save_figure


def test_a_figure_has_its_size_and_format(tmp_path: Path) -> None:
    for name, start in (("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF"), ("plain", b"\x89PNG")):
        figure, axes = new_figure(2, 3, 4, 2)
        assert axes.shape == (2, 3)
        save_figure(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
        assert not plt.get_fignums()  # nothing piles up in a long training
    assert matplotlib.image.imread(tmp_path / "x.png").shape[:2] == (300, 600)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    figure, _ = new_figure(1, 1, 1, 1)
    with pytest.raises(CaffeError, match=r"cannot write figure .*x\.xyz"):
        save_figure(figure, tmp_path / "x.xyz")
    assert not list(tmp_path.iterdir())
    assert not plt.get_fignums()


def test_a_patch_has_its_colour() -> None:
    assert colour_patch(np.array([0.25, 0.5, 1])).get_facecolor() == (0.25, 0.5, 1, 1)
