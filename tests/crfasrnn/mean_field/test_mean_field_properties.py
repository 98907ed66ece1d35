"""Mean field on sizes, classes, kernels and values of any kind: the recurrence over dense matrices, or one clear error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.options import NORMALIZATIONS

THETAS = {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0}
widths = st.floats(-6, 6).map(lambda exponent: 10.0**exponent)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coordinates(kernel: Kernel, height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    parts = []
    if kernel.theta_position is not None:
        parts.append(torch.stack([columns, rows], -1).reshape(-1, 2).double() / kernel.theta_position)
    if kernel.features is not None:
        parts.append(kernel.features[0].flatten(1).T / kernel.theta_features)
    return torch.cat(parts, 1)


def dense(kernel: Kernel, taken: Tensor, height: int, width: int) -> Tensor:
    """The kernel as a matrix over the pixels that the mask keeps."""
    at = coordinates(kernel, height, width)[taken]
    matrix = permutohedral_filter(torch.eye(len(at), dtype=torch.float64), at)
    response = matrix.sum(1)
    if kernel.normalization == "before":
        return matrix / response[None]
    if kernel.normalization == "after":
        return matrix / response[:, None]
    if kernel.normalization == "symmetric":
        return matrix / (response[:, None] * response[None]).sqrt()
    return matrix


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    classes=st.sampled_from([1, 2, 7, 8, 9, 23, 24, 25, 49]),
    iterations=st.integers(1, 3),
    extra=st.integers(1, 6),
    theta_position=st.none() | widths,
    theta_features=widths,
    normalization=st.sampled_from(NORMALIZATIONS),
    flat=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_field_is_the_formula_or_one_error(
    height: int,
    width: int,
    classes: int,
    iterations: int,
    extra: int,
    theta_position: float | None,
    theta_features: float,
    normalization: str,
    flat: bool,
    masked: bool,
    seed: int,
) -> None:
    unary, q0 = draw(seed, 1, classes, height, width), draw(seed + 1, 1, classes, height, width)
    features = draw(seed + 2, 1, extra, height, width) * 10
    if flat:
        features = features[:, :, :1, :1].expand(features.shape).contiguous()
    mask = draw(seed + 3, 1, height, width) > -0.5 if masked else torch.ones(1, height, width, dtype=torch.bool)
    kernels = [Kernel(2.0), Kernel(theta_position, features, theta_features, normalization)]
    weights = [draw(seed + 4 + k, classes, classes) / classes for k in range(2)]
    mu = -torch.eye(classes, dtype=torch.float64)
    refused = ""
    try:
        scores = mean_field_kernels(unary, q0, kernels, weights, mu, iterations=iterations, mask=mask)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert "more than float64 resolves" in refused
        assert min(theta_features, theta_position or 1) < 1e-3
        return
    taken = mask.flatten()
    assert (scores.flatten(2)[0][:, ~taken] == 0).all()
    if not taken.any():
        return
    matrices = [dense(kernel, taken, height, width) for kernel in kernels]
    start = unary[0].flatten(1).T[taken]
    expected = q0[0].flatten(1).T[taken]
    for _ in range(iterations):
        q = expected.softmax(1)
        expected = start + sum(matrix @ q @ w.T for matrix, w in zip(matrices, weights))
    assert torch.allclose(scores.flatten(2)[0].T[taken], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("theta", [1e-12, 1e-30, 1e30, 1e300])
def test_tiny_thetas_are_refused_and_huge_ones_give_the_mean(dtype: torch.dtype, theta: float) -> None:
    unary, image = draw(0, 1, 3, 20, 30).to(dtype), (20 * draw(1, 1, 3, 20, 30)).to(dtype)
    eye = torch.eye(3, dtype=dtype)

    def run() -> Tensor:
        thetas = {"theta_alpha": theta, "theta_beta": theta, "theta_gamma": theta}
        return mean_field(unary, unary, image, eye, 0 * eye, -eye, iterations=1, **thetas)

    if theta < 1:
        with pytest.raises(
            ValueError, match=f"more than float{'32' if dtype == torch.float32 else '64'} resolves|theta"
        ):
            run()
    elif math.isinf(float(torch.tensor(theta, dtype=dtype))):
        assert torch.isfinite(run()).all()
    else:
        mean = unary.softmax(1).mean((2, 3), keepdim=True)
        assert torch.allclose(run(), unary + mean, atol=1e-4)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_bad_score_makes_what_it_reaches_nan_and_no_other_image(value: float) -> None:
    """Neither a crash nor a number that hides it, whatever the number of threads."""
    unary, image, eye = draw(0, 2, 3, 40, 40), 20 * draw(1, 2, 3, 40, 40), torch.eye(3, dtype=torch.float64)
    clean = mean_field(unary, unary, image, eye, eye, -eye, iterations=3, **THETAS)
    unary[0, 1, 20, 20] = value
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        results.append(mean_field(unary, unary, image, eye, eye, -eye, iterations=3, **THETAS))
    torch.set_num_threads(threads)
    assert torch.isnan(results[0][0, :, 20, 20]).all()
    assert torch.equal(results[0][1], clean[1])
    assert all(torch.equal(torch.isnan(r), torch.isnan(results[0])) for r in results)


def test_one_pixel_and_a_constant_image() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    unary = draw(0, 1, 4, 1, 1)
    scores = mean_field(unary, unary, torch.full((1, 3, 1, 1), 7.0).double(), eye, eye, -eye, iterations=1, **THETAS)
    assert torch.allclose(scores, unary + 2 * unary.softmax(1))  # a weighted mean of one value is the value
    flat = unary.expand(1, 4, 50, 60).contiguous()
    scores = mean_field(flat, flat, torch.full((1, 3, 50, 60), 7.0).double(), eye, eye, -eye, iterations=2, **THETAS)
    once = flat + 2 * flat.softmax(1)
    assert torch.allclose(scores, flat + 2 * once.softmax(1))
