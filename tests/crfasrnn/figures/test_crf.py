"""What is read of a CRF's matrices, and that all of it is drawn."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from caffe.errors import CaffeError
from crfasrnn.crf.module import CrfRnn
from crfasrnn.figures.crf import CrfParameters, draw_crf, read_crf


def test_the_crfs_matrices_are_those_of_the_module(tmp_path: Path) -> None:
    crf = CrfRnn(3)
    for index, parameter in enumerate(crf.parameters()):
        parameter.data = parameter.data + index + torch.arange(9.0).reshape(3, 3) / 10
    crf.save_caffemodel(tmp_path / "x.caffemodel")
    found = read_crf(tmp_path / "x.caffemodel")
    for name, parameter in zip(("spatial", "bilateral", "compatibility"), (*crf.weights, crf.compatibility)):
        np.testing.assert_allclose(getattr(found, name), parameter.detach().numpy(), rtol=1e-6)
    with pytest.raises(CaffeError, match="no layer 'crf'"):
        read_crf(tmp_path / "x.caffemodel", "crf")


def test_the_picture_depends_on_every_matrix(tmp_path: Path) -> None:
    start = {"spatial": 3 * np.eye(3), "bilateral": 5 * np.eye(3), "compatibility": -np.eye(3)}
    pictures = []
    for changed in ("", *start):
        matrices = {name: matrix + 0.5 * np.diag([1, 0, 0]) * (name == changed) for name, matrix in start.items()}
        draw_crf(tmp_path / "crf.png", CrfParameters(**matrices), ("a", "b", "c"))
        pictures.append(matplotlib.image.imread(tmp_path / "crf.png"))
    assert pictures[0].std() > 0.05
    for picture in pictures[1:]:
        assert picture.shape != pictures[0].shape or np.abs(picture - pictures[0]).max() > 0.1


def test_names_must_be_as_many_as_classes(tmp_path: Path) -> None:
    parameters = CrfParameters(np.eye(3), np.eye(3), -np.eye(3))
    with pytest.raises(CaffeError, match="1 class names for 3 classes"):
        draw_crf(tmp_path / "crf.png", parameters, ("background",))
