"""Which cases are shown, what a sheet shows of them, and how the CRF's matrices are read."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from support.datasets import labels_of, photograph

from caffe.errors import CaffeError
from crfasrnn.commands.main import main
from crfasrnn.crf.module import CrfRnn
from crfasrnn.datasets import Dataset, folder
from crfasrnn.evaluation.evaluate import saved_labels
from crfasrnn.figures.cases import KINDS, choose_cases, read_crf
from crfasrnn.pictures.label_maps import voc_palette, write_labels

# Columns out of 16 that the last method gets right where the first one gets half of them: its gain rises with the number.
RIGHT = {"e": 16, "b": 13, "g": 11, "a": 9, "c": 6, "d": 3, "f": 0}


@pytest.fixture
def methods(tmp_path: Path) -> tuple[Dataset, Path, Path]:
    """Seven photographs of class 1 alone."""
    for name in ("masks", "first", "last"):
        (tmp_path / name).mkdir()
    truth = labels_of(dict.fromkeys(range(12), 1))
    for name, right in RIGHT.items():
        photograph(tmp_path / "images" / f"{name}.jpg")
        write_labels(tmp_path / "masks" / f"{name}.png", truth)
        for method, columns in (("first", 8), ("last", right)):
            labels = truth.copy()
            labels[:, columns:] = 0
            write_labels(tmp_path / method / f"{name}.png", labels)
    return folder(tmp_path / "images", tmp_path / "masks"), tmp_path / "first", tmp_path / "last"


def test_cases_are_the_extremes_and_the_middle(methods: tuple[Dataset, Path, Path]) -> None:
    dataset, first, last = methods
    for count, names in ((1, "eaf"), (2, "ebcadf")):
        cases = choose_cases(dataset, saved_labels(first), saved_labels(last), 2, count)
        assert [case.example.name for case in cases] == list(names)
        assert [case.kind for case in cases] == [kind for kind in KINDS for _ in range(count)]
        for case in cases:
            assert case.first == 0.5
            assert case.last == RIGHT[case.example.name] / 16
    with pytest.raises(CaffeError, match=r"9 images are needed to choose from, .* has 7"):
        choose_cases(dataset, saved_labels(first), saved_labels(last), 2, 3)


def test_a_sheet_shows_the_classes_colours(methods: tuple[Dataset, Path, Path], tmp_path: Path, capsys) -> None:
    _, first, last = methods
    options = ["--images", tmp_path / "images", "--masks", tmp_path / "masks", "--classes", "0,1", "--count", "1"]
    predictions = ["--predictions", f"FCN={first}", "--predictions", f"CRF={last}"]
    for name in ("sheet.png", "sheet.svg"):
        arguments = ["figures", "cases", *options, *predictions, "-o", tmp_path / name]
        assert main([str(argument) for argument in arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "largest gain  e  50.0 -> 100.0",
        "median        a  50.0 -> 56.2",
        "largest loss  f  50.0 -> 0.0",
    ]
    picture = (255 * matplotlib.image.imread(tmp_path / "sheet.png")[..., :3]).round().astype(np.uint8)
    share = (picture == voc_palette()[1]).all(-1).mean()
    assert share > 0.1
    assert (tmp_path / "sheet.svg").read_text().lstrip().startswith("<?xml")


def test_the_crfs_matrices_are_those_of_the_module(tmp_path: Path, capsys) -> None:
    crf = CrfRnn(3)
    for index, parameter in enumerate(crf.parameters()):
        parameter.data = parameter.data + index + torch.arange(9.0).reshape(3, 3) / 10
    crf.save_caffemodel(tmp_path / "x.caffemodel")
    found = read_crf(tmp_path / "x.caffemodel")
    for name, parameter in zip(("spatial", "bilateral", "compatibility"), crf._blobs()):
        np.testing.assert_allclose(getattr(found, name), parameter.detach().numpy(), rtol=1e-6)
    (tmp_path / "classes.txt").write_text("0 background\n8 cat\n12 dog\n")
    arguments = [tmp_path / "x.caffemodel", "--classes-file", tmp_path / "classes.txt", "-o", tmp_path / "crf.png"]
    assert main(["figures", "crf", *map(str, arguments)]) == 0
    assert matplotlib.image.imread(tmp_path / "crf.png").std() > 0.05
    (tmp_path / "classes.txt").write_text("0 background\n")
    assert main(["figures", "crf", *map(str, arguments)]) == 1
    assert "1 class names for 3 classes" in capsys.readouterr().err
    with pytest.raises(CaffeError, match="no layer 'crf'"):
        read_crf(tmp_path / "x.caffemodel", "crf")


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path: Path, capsys) -> None:
    CrfRnn(21).save_caffemodel(tmp_path / "x.caffemodel")
    assert main(["figures", "crf", str(tmp_path / "x.caffemodel"), "-o", str(tmp_path / "x.xyz")]) == 1
    assert "cannot write figure" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.caffemodel"]
