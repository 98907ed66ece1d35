"""Mean field with any kernels over any grid: the formula on explicit matrices, masks, volumes, wrong arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.crfasrnn.mean_field_kernels import channels, kernels_example
from torch import Tensor

from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.options import NORMALIZATIONS

ITERATIONS = 3


def dense(features: Tensor, normalization: str) -> Tensor:
    """The normalised lattice filter at (points, d) as a matrix."""
    matrix = permutohedral_filter(torch.eye(len(features)).double(), features)
    d = matrix.sum(1)
    left, right = {"none": (0, 0), "before": (0, 1), "after": (1, 0), "symmetric": (0.5, 0.5)}[normalization]
    return d[:, None] ** -left * matrix * d[None] ** -right


def formula(
    unary: Tensor, q0: Tensor, matrices: list[Tensor], weights: list[Tensor], mu: Tensor, iterations: int = ITERATIONS
) -> Tensor:
    """The recurrence for one image, scores as (points, classes)."""
    scores = q0
    for _ in range(iterations):
        q = scores.softmax(1)
        scores = unary - sum(m @ q @ w.T for m, w in zip(matrices, weights)) @ mu.T
    return scores


def position(*grid: int) -> Tensor:
    """(points, axes), x first."""
    axes = torch.meshgrid(*(torch.arange(n).double() for n in grid), indexing="ij")
    return torch.stack([axis.flatten() for axis in reversed(axes)], 1)


@pytest.mark.parametrize("grid", [(90,), (9, 11), (4, 5, 6)], ids=["points", "image", "volume"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_equals_formula_on_explicit_matrices(grid: tuple[int, ...], normalization: str) -> None:
    """Forward and all gradients, batch of two, one kernel shared by the batch, one without position."""
    unary, q0, weights, mu = kernels_example(2, 3, *grid)
    colour, depth = channels(2, 3, *grid), channels(1, 1, *grid)
    thetas = [2.0 + axis for axis in range(len(grid))]
    kernels = [
        Kernel(thetas, normalization=normalization),
        Kernel(4.0, colour, 1.5, normalization),
        Kernel(None, depth, 0.7, normalization),
    ]
    leaves = [t.requires_grad_() for t in (unary, q0, *weights, mu)]
    out = mean_field_kernels(unary, q0, kernels, weights, mu, iterations=ITERATIONS)
    at = position(*grid)
    rows = []
    for n in range(2):
        features = [
            at / torch.tensor(thetas),
            torch.cat([at / 4.0, colour[n].flatten(1).T / 1.5], 1),
            depth[0].flatten(1).T / 0.7,
        ]
        matrices = [dense(f, normalization) for f in features]
        rows.append(formula(unary[n].flatten(1).T, q0[n].flatten(1).T, matrices, weights, mu).T)
    truth = torch.stack(rows).reshape(out.shape)
    assert torch.allclose(out, truth, rtol=1e-9, atol=1e-9)
    direction = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    pairs = zip(torch.autograd.grad(out, leaves, direction), torch.autograd.grad(truth, leaves, direction))
    assert all(torch.allclose(actual, expected, rtol=1e-8, atol=1e-8) for actual, expected in pairs)


def test_image_pair_is_two_kernels() -> None:
    unary, q0, weights, mu = kernels_example(2, 4, 12, 13, kernels=2)
    image = channels(2, 3, 12, 13)
    pair = mean_field(unary, q0, image, *weights, mu, iterations=4, theta_alpha=8.0, theta_beta=1.5, theta_gamma=2.0)
    kernels = [Kernel(2.0), Kernel(8.0, image, 1.5)]
    assert torch.equal(mean_field_kernels(unary, q0, kernels, weights, mu, iterations=4), pair)


def test_masked_pixels_have_no_influence() -> None:
    """Padding behind a mask, of any content, changes no bit of the result nor of a gradient."""
    unary, q0, weights, mu = kernels_example(2, 3, 20, 18)
    image = channels(2, 3, 20, 18)
    mask = torch.zeros(2, 20, 18, dtype=torch.bool)
    mask[0, :15, :16] = True  # and nothing of the second image

    def run(u: Tensor, q: Tensor, colours: Tensor, taken: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        leaves = [t.clone().requires_grad_() for t in (u, q, *weights, mu)]
        kernels = [Kernel(3.0), Kernel(6.0, colours, 1.5), Kernel(None, colours, 2.0)]
        out = mean_field_kernels(*leaves[:2], kernels, leaves[2:5], leaves[5], iterations=ITERATIONS, mask=taken)
        return out.detach(), list(torch.autograd.grad(out.square().sum(), leaves))

    unary[:, :, 15:] = torch.nan
    image[:, :, :, 16:] = torch.inf
    out, gradients = run(unary, q0, image, mask)
    inside = (slice(0, 1), slice(None), slice(0, 15), slice(0, 16))
    truth, expected = run(unary[inside], q0[inside], image[inside], None)
    assert torch.allclose(out[inside], truth, rtol=1e-12, atol=1e-12)
    for gradient, wanted in zip(gradients[:2], expected):
        assert torch.allclose(gradient[inside], wanted, rtol=1e-10, atol=1e-10)
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(gradients[2:], expected[2:]))
    for result in (out, *gradients[:2]):
        assert (result[~mask[:, None].expand_as(result)] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": []}, "one weight for each of at least one kernel"),
        ({"kernels": [Kernel()]}, r"kernels\[0\] compares nothing"),
        ({"kernels": [Kernel(0.0)]}, r"kernels\[0\]: theta_position must be finite and greater than 0"),
        ({"kernels": [Kernel((1.0, 2.0, 3.0))]}, "theta_position has 3 numbers, but unary has 2 axes"),
        ({"kernels": [Kernel(1.0, normalization="both")]}, "none, before, after, symmetric"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 1, 5, 5).double())]}, r"must be \(N, d, 5, 6\)"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 31, 5, 6).double())]}, "1 to 32 features"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 1, 5, 6))]}, r"features is torch.float32 but unary is torch.float64"),
        ({"weights": [torch.zeros(3).double()]}, r"weights\[0\] has shape \(3,\)"),
        ({"mask": torch.ones(1, 5, 6)}, r"mask must be bool \(1, 5, 6\)"),
        ({"iterations": 0}, "iterations must be an integer of 1 to 10000"),
    ],
)
def test_errors(change: dict[str, Any], message: str) -> None:
    unary, q0, weights, mu = kernels_example(1, 3, 5, 6, kernels=1)
    options: dict[str, Any] = {"kernels": [Kernel(1.0)], "weights": weights, "compatibility": mu, "iterations": 2}
    with pytest.raises(ValueError, match=message):
        mean_field_kernels(unary, q0, **(options | change))
