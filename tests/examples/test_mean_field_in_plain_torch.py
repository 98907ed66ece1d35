"""The page to read first is true: the compiled layer's numbers, the original's, closed forms; and it is a program that runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import mean_field_in_plain_torch as plain
import numpy as np
import pytest
import torch
from support.reference_data import REPOSITORY, golden_cases
from support.warm import python
from torch import Tensor

from crfasrnn.crf import mean_field

WIDTHS = {
    "narrow": {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0},
    "as in the paper": {"theta_alpha": 160.0, "theta_beta": 3.0, "theta_gamma": 3.0},
    # Pixels exactly on the border of two simplices: rounding and ties must go the same way.
    "one pixel": {"theta_alpha": 1.0, "theta_beta": 1.0, "theta_gamma": 1.0},
}


def example(classes: int, height: int, width: int, channels: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """Random [unary, q0, spatial, bilateral, compatibility] of two images with full matrices, and the images."""
    rng = torch.Generator().manual_seed(classes + 100 * height + width)
    options = {"generator": rng, "dtype": dtype}
    scores = [torch.randn(2, classes, height, width, **options) for _ in range(2)]
    matrices = [torch.eye(classes, dtype=dtype) + torch.randn(classes, classes, **options) / 3 for _ in range(3)]
    return [*scores, *matrices], torch.rand(2, channels, height, width, **options) * 60


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize(
    ("classes", "height", "width", "channels"),
    [(1, 1, 1, 3), (3, 6, 7, 3), (2, 20, 30, 3), (21, 16, 17, 3), (5, 33, 1, 1), (4, 12, 9, 6)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_the_compiled_layer(
    dtype: torch.dtype, classes: int, height: int, width: int, channels: int, widths: str
) -> None:
    """Scores, and the gradients of everything but the image; autograd finds here what the core has written out."""
    inputs, image = example(classes, height, width, channels, dtype)
    leaves = [tensor.requires_grad_() for tensor in inputs]
    compiled, plainly = (
        run(*leaves[:2], image, *leaves[2:], iterations=3, **WIDTHS[widths]) for run in (mean_field, plain.mean_field)
    )
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    assert torch.allclose(compiled, plainly, **tolerance)
    direction = torch.linspace(-1, 1, compiled.numel(), dtype=dtype).reshape(compiled.shape)
    for actual, expected in zip(
        torch.autograd.grad(compiled, leaves, direction), torch.autograd.grad(plainly, leaves, direction), strict=True
    ):
        assert torch.allclose(actual, expected, **tolerance)


# The larger ones take seconds each, and the compiled layer is held to them.
SMALL = [path for path in golden_cases("meanfield") if path.stat().st_size < 250_000]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """The numbers of the authors' Caffe layer, scores and gradients."""
    case = np.load(path)
    meta = json.loads(str(case["meta"]))
    inputs = [torch.from_numpy(case[key]).requires_grad_() for key in ("unary", "Q0", "spatial", "bilateral", "compat")]
    thetas = {key: meta[key] for key in ("theta_alpha", "theta_beta", "theta_gamma")}
    top = plain.mean_field(*inputs[:2], torch.from_numpy(case["image"]), *inputs[2:], iterations=meta["T"], **thetas)
    gradients = torch.autograd.grad(top, inputs, torch.from_numpy(case["top_diff"]))
    # Their lattice has vertices too many where the number of pixels is not a multiple of 4: see crf's own golden tests.
    odd = meta["H"] * meta["W"] % 4 != 0
    names = ("top", "d_unary", "d_Q0", "d_spatial", "d_bilateral", "d_compat")
    for name, actual in zip(names, (top, *gradients), strict=True):
        expected = case[name]
        bound = 1e-2 if odd else 1e-4 if name == "top" else 1e-3
        assert np.abs(actual.detach().numpy() - expected).max() <= bound * np.abs(expected).max(), name


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 9])
def test_a_point_lies_in_its_simplex(dimension: int) -> None:
    """Corners of remainder 0 to d, coordinates that sum to 0, weights of a mean whose centre is the elevated point."""
    features = torch.randn(200, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(dimension)) * 4
    corners, weights = plain.embed(features)
    remainders = torch.arange(dimension + 1)
    assert (corners.sum(2) == 0).all()
    assert (corners % (dimension + 1) == remainders[None, :, None]).all()
    assert weights.min() > -1e-12
    assert torch.allclose(weights.sum(1), torch.ones(200, dtype=torch.float64))
    # The elevation keeps angles, and distances up to the scale of the lattice.
    elevated = (weights[:, :, None] * corners).sum(1)
    assert torch.allclose(elevated @ elevated.T, (dimension + 1) ** 2 * 2 / 3 * features @ features.T, atol=1e-9)


def test_one_point_spreads_as_the_blur_says() -> None:
    """On a line, a vertex at a time: 1/2 to each side by either axis, so 1/4, 1, 3/2, 1, 1/4 of the middle."""
    features = torch.arange(-2, 3, dtype=torch.float64)[:, None] / (2 * (2 / 3) ** 0.5 / 2**0.5)
    lattice = plain.Lattice(features)
    assert len(lattice.vertices) >= 5
    spread = lattice(torch.tensor([[0.0], [0], [1], [0], [0]], dtype=torch.float64))[:, 0] * 1.5
    assert torch.allclose(spread, torch.tensor([0.25, 1, 1.5, 1, 0.25], dtype=torch.float64))


def test_gradients_of_an_image_are_those_of_the_lattice() -> None:
    inputs, image = example(2, 3, 4, 1, torch.float64)
    colours = image[:1].requires_grad_()
    single = [tensor[:1] for tensor in inputs[:2]]

    def run(colours: Tensor) -> Tensor:
        return plain.mean_field(*single, colours, *inputs[2:], iterations=2, **WIDTHS["narrow"])

    assert torch.autograd.gradcheck(run, colours)


def test_it_runs_as_a_program() -> None:
    program = REPOSITORY / "examples" / "mean_field_in_plain_torch.py"
    done = subprocess.run([python(), program], capture_output=True, text=True, check=True)
    before, after = (float(line.split(": ")[1].split("%")[0]) for line in done.stdout.splitlines())
    assert before < 80
    assert after > 95
