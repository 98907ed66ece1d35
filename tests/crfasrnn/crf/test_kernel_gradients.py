"""Gradients with respect to features and standard deviations, against the Gaussian itself in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.crfasrnn.brute_force import BruteForce
from torch import Tensor

from crfasrnn import CrfRnn
from crfasrnn.crf.functional import Kernel, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.kernel_gradients import GaussianFilter
from crfasrnn.crf.module import Bilateral, Features, Spatial
from crfasrnn.crf.options import NORMALIZATIONS
from crfasrnn.crf.unrolled import unrolled_mean_field


def smooth(seed: int, channels: int, height: int, width: int, cell: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, channels, height // cell + 2, width // cell + 2, generator=generator, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]


@pytest.mark.parametrize("normalization", range(4), ids=NORMALIZATIONS)
def test_filter_gradients_are_those_of_the_gaussian(normalization: int) -> None:
    """With the pairwise Gaussian for the lattice, every formula must meet finite differences."""
    values, features = smooth(0, 2, 3, 4).requires_grad_(), smooth(1, 3, 3, 4).requires_grad_()

    def run(values: Tensor, features: Tensor) -> Tensor:
        return GaussianFilter.apply(values, features, BruteForce(features), normalization)

    assert torch.autograd.gradcheck(run, (values, features))


def photograph() -> Tensor:
    """(1, 3, 48, 60): a piece of a real photograph."""
    import skimage.data

    piece = torch.from_numpy(skimage.data.astronaut()[60:156:2, 180:300:2].copy())
    return piece.permute(2, 0, 1)[None].double()


def finite_difference(run: Any, log_thetas: list[float], k: int, step: float = 1e-4) -> float:
    values = []
    for sign in (1, -1):
        moved = list(log_thetas)
        moved[k] += sign * step
        values.append(float(run(moved)))
    return (values[0] - values[1]) / (2 * step)


def test_thetas_gradients_near_the_brute_force_gaussian() -> None:
    """The whole layer on a photograph: the lattice's gradients against finite differences of the pairwise Gaussian's loss.

    The two functions differ by the lattice's own error of some percent, and so do the gradients. (The derivative of the lattice's
    pieces would be off by a factor of hundreds here.)
    """
    image = photograph()
    unary, target = 2 * smooth(3, 4, 48, 60, 8)[None], smooth(4, 4, 48, 60, 10)[None]
    eye = torch.eye(4, dtype=torch.float64)
    start = [float(torch.tensor(t).log()) for t in (20.0, 25.0, 3.0)]
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(60.0), indexing="ij")
    grid = torch.stack([columns, rows]).double()[None]

    def brute_force_loss(log_thetas: list[float]) -> Tensor:
        alpha, beta, gamma = torch.tensor(log_thetas).exp().tolist()
        coordinates = [grid / gamma, torch.cat([grid / alpha, image / beta], 1)]
        softmax = lambda scores: scores.softmax(0)  # noqa: E731
        weights = torch.stack([eye, 2 * eye])
        scores = unrolled_mean_field(
            unary,
            unary,
            coordinates,
            weights,
            -eye,
            normalizations=[2, 2],
            iterations=3,
            activate=softmax,
            make_lattice=BruteForce,
        )
        return (scores * target).sum()

    log_thetas = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    alpha, beta, gamma = log_thetas.exp()
    kernels = [Kernel(gamma), Kernel(alpha, image, beta)]
    scores = mean_field_kernels(unary, unary, kernels, [eye, 2 * eye], -eye, iterations=3)
    (actual,) = torch.autograd.grad((scores * target).sum(), log_thetas)
    expected = torch.tensor([finite_difference(brute_force_loss, start, k) for k in range(3)], dtype=torch.float64)
    assert (actual - expected).abs().max() < 0.1 * expected.abs().max(), (actual, expected)


def test_learning_path_gives_the_operator_s_scores() -> None:
    image = photograph()[..., :20, :24].contiguous()
    unary, eye = smooth(5, 3, 20, 24)[None], torch.eye(3, dtype=torch.float64)
    mask = torch.rand(1, 20, 24, generator=torch.Generator().manual_seed(0)) > 0.2
    for activation in ("softmax", "relu"):
        both = []
        for learn in (False, True):
            theta = torch.tensor(20.0, dtype=torch.float64, requires_grad=learn)
            kernels = [Kernel((3.0, 2.0), normalization="symmetric"), Kernel(theta, image, 25.0, "before")]
            options = {"iterations": 3, "mask": mask, "activation": activation}
            scores = mean_field_kernels(unary, unary, kernels, [eye / 9, eye / 7], -eye, **options)  # type: ignore[arg-type]
            assert scores.requires_grad == learn
            both.append(scores)
        assert torch.allclose(*both, rtol=1e-9, atol=1e-9)


def test_permutohedral_filter_has_a_gradient_for_its_features() -> None:
    values, features = smooth(6, 2, 20, 20).flatten(1).T, 3 * smooth(7, 2, 20, 20, 12).flatten(1).T
    for reverse in (False, True):
        at = features.clone().requires_grad_()
        weight = smooth(8, 2, 20, 20).flatten(1).T
        filtered = permutohedral_filter(values, at, reverse=reverse)
        exact = torch.exp(-0.5 * torch.cdist(at, at) ** 2) @ values
        (actual,) = torch.autograd.grad((filtered * weight).sum(), at)
        (expected,) = torch.autograd.grad((exact * weight).sum(), at)
        assert torch.nn.functional.cosine_similarity(actual.flatten(), expected.flatten(), dim=0) > 0.99
        # The lattice's kernel has another sum than the Gaussian, which normalisation takes out elsewhere.
        gain = filtered.detach().norm() / exact.detach().norm()
        assert abs(float(actual.norm() / expected.norm() / gain) - 1) < 0.05


def test_module_learns_the_width_that_made_the_data() -> None:
    """Gradient descent on the logarithm of theta finds the theta behind the target."""
    image, unary = photograph(), 2 * smooth(9, 3, 48, 60, 8)[None]
    options: dict[str, Any] = {"iterations": 2, "weights": "shared", "compatibility": "potts"}
    with torch.no_grad():
        teacher = CrfRnn(3, [Spatial(6.0, 4.0), Bilateral(30.0, 40.0, 4.0)], **options).double()
        target = teacher(unary, image)
    pupil = CrfRnn(3, [Spatial(2.5, 4.0), Bilateral(30.0, 40.0, 4.0)], learn_bandwidths=True, **options).double()
    assert len(pupil.log_thetas) == 3
    optimizer = torch.optim.Adam(pupil.log_thetas, lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        (pupil(unary, image) - target).square().mean().backward()
        optimizer.step()
    assert abs(float(pupil.log_thetas[0].detach().exp()) - 6) < 0.6


def test_every_kind_of_kernel_learns() -> None:
    image, unary = photograph()[..., :16, :16], smooth(2, 3, 16, 16)[None]
    kernels = [Spatial((3.0, 4.0)), Features((20.0, 30.0, 25.0), 8.0), Features(25.0, None, "depth")]
    crf = CrfRnn(3, kernels, iterations=2, learn_bandwidths=True).double()
    image.requires_grad_()
    crf(unary, extra={"extra": image, "depth": image[:, :1]}).square().sum().backward()
    assert image.grad is None  # the thetas learn, not what they belong to
    shapes = [tuple(p.shape) for p in crf.log_thetas]
    assert shapes == [(2,), (3,), (), ()]
    assert all(p.grad is not None and (p.grad != 0).all() for p in crf.log_thetas)
