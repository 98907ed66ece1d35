"""Which cases are shown, and what a sheet shows of them."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from support.crfasrnn.figures import RIGHT, two_methods

from caffe.errors import CaffeError
from crfasrnn.classes import Classes, unnamed_classes
from crfasrnn.evaluation.labellers import saved_labels
from crfasrnn.figures.cases import KINDS, choose_cases, draw_cases
from crfasrnn.pictures.label_maps import voc_palette

TWO = unnamed_classes(2)


def test_cases_are_the_extremes_and_the_middle(tmp_path: Path) -> None:
    dataset, first, last = two_methods(tmp_path)
    for count, names in ((1, "eaf"), (2, "ebcadf")):
        cases = choose_cases(dataset, saved_labels(first, TWO), saved_labels(last, TWO), 2, count)
        assert [case.example.name for case in cases] == list(names)
        assert [case.kind for case in cases] == [kind for kind in KINDS for _ in range(count)]
        for case in cases:
            assert case.first == 0.5
            assert case.last == RIGHT[case.example.name] / 16
    with pytest.raises(CaffeError, match=r"9 images are needed to choose from, .* has 7"):
        choose_cases(dataset, saved_labels(first, TWO), saved_labels(last, TWO), 2, 3)


def test_a_sheet_shows_the_classes_colours(tmp_path: Path) -> None:
    dataset, *folders = two_methods(tmp_path)
    methods = [(title, saved_labels(folder, TWO)) for title, folder in zip(("FCN", "CRF"), folders)]
    cases = choose_cases(dataset, methods[0][1], methods[1][1], 2, 1)
    shares = []
    for ids in ((0, 1), (0, 8)):
        draw_cases(tmp_path / "sheet.png", cases, methods, Classes(("background", "thing"), ids))
        picture = (255 * matplotlib.image.imread(tmp_path / "sheet.png")[..., :3]).round().astype(np.uint8)
        shares.append([(picture == voc_palette()[label]).all(-1).mean() for label in (1, 8)])
    assert shares[0][0] > 0.1
    assert shares[0][1] == 0
    assert shares[1] == shares[0][::-1]
