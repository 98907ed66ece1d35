"""Refining a field is the mean field, in whatever pieces, and ends in time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.crfasrnn.models import CAT

from caffe.errors import CaffeError
from crfasrnn.classes import unnamed_classes
from crfasrnn.crf.module import Bilateral, CrfRnn, Spatial
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import MARKS, Deadline, Field, image_tensor

CONTROLS = Controls(7, theta_alpha=20, theta_beta=9, theta_gamma=2, bilateral_weight=1.5, spatial_weight=0.5)


@pytest.fixture
def field() -> Field:
    """Random scores of three classes for a piece of a photograph, and matrices that are none of the usual."""
    torch.manual_seed(3)
    image = CAT[:30, :40]
    return Field(
        photograph=image,
        image=image_tensor(image),
        unary=2 * torch.randn(1, 3, 30, 40),
        spatial=torch.eye(3) + 0.1 * torch.rand(3, 3),
        bilateral=2 * torch.eye(3) + 0.1 * torch.rand(3, 3),
        compatibility=0.1 * torch.rand(3, 3) - torch.eye(3),
        normalization="after",
        activation="softmax",
        classes=unnamed_classes(3),
        start=None,
        controls=CONTROLS,
        seconds=0.0,
    )


def by_the_module(field: Field, controls: Controls) -> torch.Tensor:
    """Scores of CrfRnn with the same parameters."""
    kernels = [Spatial(controls.theta_gamma), Bilateral(controls.theta_alpha, controls.theta_beta)]
    crf = CrfRnn(3, kernels, controls.iterations)
    with torch.no_grad():
        crf.weights[0].copy_(controls.spatial_weight * field.spatial)
        crf.weights[1].copy_(controls.bilateral_weight * field.bilateral)
        crf.compatibility.copy_(field.compatibility)
        scores: torch.Tensor = crf(field.unary, field.image)
    return scores


@pytest.mark.parametrize("iterations", [1, 7, 10, 23])
def test_it_is_the_layer(field: Field, iterations: int) -> None:
    controls = replace(CONTROLS, iterations=iterations)
    torch.testing.assert_close(field.refined(controls, Deadline(60)), by_the_module(field, controls))


def test_the_marks_are_runs_of_so_many_iterations(field: Field) -> None:
    found = dict(field.marked(CONTROLS, Deadline(60)))
    assert tuple(found) == MARKS
    for iterations, q in found.items():
        expected = by_the_module(field, replace(CONTROLS, iterations=iterations))[0].softmax(0)
        torch.testing.assert_close(q, expected)
    assert all((a - b).abs().max() > 1e-4 for a, b in pairwise(found.values()))


def test_pruning_changes_little(field: Field) -> None:
    field = replace(field, unary=field.unary - torch.tensor([0.0, 0.0, 30.0])[:, None, None])
    pruned = field.refined(replace(CONTROLS, min_probability=1e-4), Deadline(60))
    torch.testing.assert_close(pruned, field.refined(CONTROLS, Deadline(60)), atol=1e-2, rtol=0)


def test_what_takes_too_long_is_given_up(field: Field) -> None:
    with pytest.raises(CaffeError, match="takes longer than 0 seconds and was given up"):
        field.refined(CONTROLS, Deadline(0))


def test_colours_are_the_photographs() -> None:
    assert np.array_equal(image_tensor(CAT)[0, 2].numpy(), CAT[..., 2])
