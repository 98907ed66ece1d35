"""Iterations unrolled in torch: derivatives of what the compiled operator has none of, against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.crfasrnn.brute_force import BruteForce
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from crfasrnn import CrfRnn
from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.kernel_gradients import Lattice, LinearFilter
from crfasrnn.crf.unrolled import unrolled_mean_field

IMAGE = 50 * torch.rand(2, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
POINTS = 3 * torch.rand(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
THETAS = {"theta_alpha": 3.0, "theta_beta": 20.0, "theta_gamma": 2.0}


def inputs() -> tuple[Tensor, ...]:
    """Unary (2, 3, 2, 3), two weights and the compatibility (3, 3), float64."""
    torch.manual_seed(0)
    unary = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    matrices = (torch.eye(3, dtype=torch.float64) + 0.1 * torch.randn(3, 3, dtype=torch.float64) for _ in range(3))
    return (unary, *matrices)


def scores(unary: Tensor, spatial: Tensor, bilateral: Tensor, mu: Tensor) -> Tensor:
    return mean_field(unary, unary, IMAGE, spatial, bilateral, mu, iterations=3, **THETAS)


def filtered(values: Tensor) -> Tensor:
    return permutohedral_filter(values.reshape(12, 3), POINTS)


def along(
    run: Callable[..., Tensor], at: tuple[Tensor, ...], tangents: tuple[Tensor, ...], step: float = 1e-6
) -> Tensor:
    """The derivative of run in a direction by central differences."""
    up, down = (run(*(x + sign * step * v for x, v in zip(at, tangents))) for sign in (1, -1))
    return (up - down) / (2 * step)


CASES = [pytest.param(scores, 4, id="mean_field"), pytest.param(filtered, 1, id="filter")]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("untied", [False, True])
def test_unrolled_mean_field_gradcheck(masked: bool, untied: bool) -> None:
    """All inputs at once: unary, Q0, features, thetas and parameters."""
    torch.manual_seed(0)
    unary, q0 = (torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    colours = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    log_theta = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    sets = (2,) if untied else ()
    weights = torch.randn(2, *sets, 3, 3, dtype=torch.float64, requires_grad=True)
    mu = torch.randn(*sets, 3, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[[True, True, False], [True, False, True]]] * 2) if masked else None
    grid = torch.stack(torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")).double()[None]

    def run(unary: Tensor, q0: Tensor, colours: Tensor, log_theta: Tensor, weights: Tensor, mu: Tensor) -> Tensor:
        both = torch.cat([grid.expand(2, -1, -1, -1), colours], 1) / log_theta[1].exp()
        coordinates = [grid / log_theta[0].exp(), both]
        softmax = lambda scores: scores.softmax(0)  # noqa: E731
        return unrolled_mean_field(
            unary,
            q0,
            coordinates,
            weights,
            mu,
            normalizations=[2, 3],
            iterations=2,
            activate=softmax,
            mask=mask,
            make_lattice=BruteForce,
        )

    assert torch.autograd.gradcheck(run, (unary, q0, colours, log_theta, weights, mu))


@pytest.mark.parametrize(("run", "count"), CASES)
def test_forward_mode_meets_finite_differences(run: Callable[..., Tensor], count: int) -> None:
    at = inputs()[:count]
    tangents = tuple(torch.randn_like(x) for x in at)
    expected = along(run, at, tangents)
    assert expected.abs().max() > 0.1
    _, by_func = torch.func.jvp(run, at, tangents)
    assert torch.allclose(by_func, expected, rtol=1e-5, atol=1e-7)
    with forward_ad.dual_level():
        dual = run(*(forward_ad.make_dual(x, v) for x, v in zip(at, tangents)))
        assert torch.allclose(forward_ad.unpack_dual(dual).tangent, expected, rtol=1e-5, atol=1e-7)
    _, linear = torch.func.linearize(run, *at)
    assert torch.allclose(linear(*tangents), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("run", "count"), CASES)
def test_jacobians_are_the_same_forward_and_backward(run: Callable[..., Tensor], count: int) -> None:
    at = inputs()[:count]
    which = tuple(range(count))
    pairs = zip(torch.func.jacfwd(run, which)(*at), torch.func.jacrev(run, which)(*at))
    for forward, backward in pairs:
        assert torch.allclose(forward, backward, rtol=1e-9, atol=1e-12)


def test_gradients_of_torch_func_are_those_of_autograd() -> None:
    at = inputs()
    target = torch.randn_like(at[0])
    found = torch.func.grad(lambda *x: (scores(*x) * target).sum(), (0, 1, 2, 3))(*at)
    leaves = [x.clone().requires_grad_() for x in at]
    expected = torch.autograd.grad((scores(*leaves) * target).sum(), leaves)
    for ours, autograds in zip(found, expected):
        assert torch.allclose(ours, autograds, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("power", [1, 2])
def test_hessian_meets_finite_differences_of_the_gradient(power: int) -> None:
    """For a loss linear in the scores, too."""
    unary, *matrices = inputs()
    target = torch.randn_like(unary)

    def loss(x: Tensor) -> Tensor:
        return (scores(x, *matrices) ** power * target).sum()

    def gradient(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(loss(x), x)[0]

    direction = torch.randn_like(unary)
    expected = along(gradient, (unary,), (direction,), 1e-5)
    hessian = torch.func.hessian(loss)(unary).reshape(unary.numel(), -1)
    assert expected.abs().max() > 1e-3
    assert torch.allclose((hessian @ direction.flatten()).view_as(unary), expected, rtol=1e-4, atol=1e-6)


def learned(unary: Tensor, *_: Tensor) -> Tensor:
    theta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    eye = torch.eye(3, dtype=torch.float64)
    return mean_field_kernels(unary, unary, [Kernel(theta)], [eye], -eye, iterations=2)


def filtered_at_learned(values: Tensor, *_: Tensor) -> Tensor:
    return permutohedral_filter(values.reshape(12, 3), torch.zeros(12, 2, dtype=torch.float64, requires_grad=True))


def linear(scores: Tensor) -> Tensor:
    """Its gradient does not depend on the scores: nothing but the layer itself leads from it to the inputs."""
    return (scores * torch.linspace(-1, 2, scores.numel(), dtype=torch.float64).view_as(scores)).sum()


def quadratic(scores: Tensor) -> Tensor:
    return scores.square().sum()


@pytest.mark.parametrize("run", [scores, learned, filtered_at_learned])
@pytest.mark.parametrize("loss", [linear, quadratic])
def test_a_second_derivative_by_autograd_is_refused_and_never_zero(
    run: Callable[..., Tensor], loss: Callable[[Tensor], Tensor]
) -> None:
    leaves = [x.clone().requires_grad_() for x in inputs()]
    (gradient,) = torch.autograd.grad(loss(run(*leaves)), leaves[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match=r"by autograd once.*torch\.func"):
        gradient.square().sum().backward()
    with pytest.raises(NotImplementedError, match="by autograd once"):
        torch.autograd.functional.hessian(lambda x: loss(run(x, *leaves[1:])), inputs()[0])


def test_first_gradients_are_the_same_where_a_graph_of_them_is_kept() -> None:
    leaves = [x.clone().requires_grad_() for x in inputs()]
    plain, kept = (
        torch.autograd.grad(scores(*leaves).square().sum(), leaves, create_graph=keep) for keep in (False, True)
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, kept))


def test_vmap_maps_over_scores_and_parameters() -> None:
    unaries = torch.randn(4, 2, 3, 2, 3, dtype=torch.float64)
    factors = torch.rand(4, dtype=torch.float64)
    _, spatial, bilateral, mu = inputs()
    mapped = torch.func.vmap(lambda u, f: scores(u, f * spatial, bilateral, mu))(unaries, factors)
    for result, unary, factor in zip(mapped, unaries, factors):
        assert torch.allclose(result, scores(unary, factor * spatial, bilateral, mu), rtol=1e-9, atol=1e-12)


def refused_transforms() -> list[tuple[str, Callable[[], Any]]]:
    unary, spatial, bilateral, mu = inputs()
    eye = torch.eye(3, dtype=torch.float64)

    def with_theta(theta: Tensor) -> Tensor:
        return mean_field_kernels(unary, unary, [Kernel(theta)], [eye], -eye, iterations=2)

    def with_image(image: Tensor) -> Tensor:
        return mean_field(unary[:1], unary[:1], image[None], spatial, bilateral, mu, iterations=2, **THETAS)

    theta, values = torch.tensor(2.0, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64)
    points = torch.rand(5, 2, dtype=torch.float64)
    return [
        ("no derivative of kernels", lambda: torch.func.jvp(with_theta, (theta,), (theta,))),
        ("no derivative of kernels", lambda: torch.func.grad(lambda t: with_theta(t).sum())(theta)),
        (
            "no derivative of the features",
            lambda: torch.func.jvp(lambda p: permutohedral_filter(values, p), (points,), (points,)),
        ),
        ("vmap cannot map over an image", lambda: torch.func.vmap(with_image)(IMAGE)),
    ]


@pytest.mark.parametrize("which", range(4))
def test_what_has_no_derivative_says_so(which: int) -> None:
    words, run = refused_transforms()[which]
    with pytest.raises(NotImplementedError, match=words):
        run()


def test_a_mask_works_in_forward_mode() -> None:
    unary, *_ = inputs()
    mask = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(3)) > 0.3
    eye = torch.eye(3, dtype=torch.float64)

    def run(x: Tensor) -> Tensor:
        return mean_field_kernels(x, x, [Kernel(2.0)], [eye], -eye, iterations=2, mask=mask)

    direction = torch.randn_like(unary)
    assert torch.allclose(torch.func.jvp(run, (unary,), (direction,))[1], along(run, (unary,), (direction,)), atol=1e-7)


def test_a_lattice_made_before_is_recorded_when_it_is_used() -> None:
    """make_fx keeps operators of torch alone: what the core computed beside them would be a constant of the first values."""
    lattice = Lattice(POINTS.T[:, None])
    first, second = torch.randn(2, 3, 1, 12, dtype=torch.float64)
    recorded = make_fx(lambda values: LinearFilter.apply(values, lattice, False))(first)
    assert torch.allclose(recorded(second), lattice(second, False), rtol=1e-12)


@pytest.mark.parametrize("trainable", [False, True])
def test_torch_jit_trace_records_inference(trainable: bool) -> None:
    crf = CrfRnn(3).requires_grad_(trainable)
    unaries, images = torch.randn(2, 1, 3, 6, 7), 255 * torch.rand(2, 1, 3, 6, 7)
    with pytest.warns((torch.jit.TracerWarning, DeprecationWarning)):
        traced = torch.jit.trace(crf, (unaries[0], images[0]))
    result = traced(unaries[1], images[1])
    assert torch.equal(result, crf(unaries[1], images[1]))
    if trainable:
        with pytest.raises(RuntimeError, match="inference alone"):
            result.sum().backward()
