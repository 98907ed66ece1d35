"""The permutohedral lattice: against the original's numbers, a plain reference, and the Gaussian it approximates."""

from __future__ import annotations

from pathlib import Path

import mean_field_in_plain_torch as plain
import numpy as np
import pytest
import torch
from support.reference_data import golden_cases

from crfasrnn.crf.functional import permutohedral_filter


def at_threads(threads: int, values: torch.Tensor, features: torch.Tensor, reverse: bool = False) -> torch.Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return permutohedral_filter(values, features, reverse=reverse)
    finally:
        torch.set_num_threads(before)


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(actual.numpy() - expected).max() / np.abs(expected).max())


def smooth_image_features(height: int, width: int) -> torch.Tensor:
    """Position and a colour that changes slowly with it: the image that one wants to filter."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x.double().flatten(), y.double().flatten()
    return torch.stack([x / 5, y / 5, torch.sin(x / 9), torch.cos(y / 11), torch.sin((x + y) / 13)], 1)


@pytest.mark.parametrize("path", golden_cases("permutohedral"), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    case = np.load(path)
    features, values = torch.from_numpy(case["features"]), torch.from_numpy(case["values"].T.copy())
    points = len(features)
    # The original rounds the number of points up to a multiple of 4 with points at the origin. They carry no value, but
    # their vertices take part in the blur (only in cases with such a number do they make a difference).
    padding = -points % 4
    features = torch.cat([features, torch.zeros(padding, features.shape[1])])
    values = torch.cat([values, torch.zeros(padding, values.shape[1])])
    ones = torch.ones(points + padding, 1)
    ones[points:] = 0
    assert relative_error(permutohedral_filter(values, features)[:points], case["out"].T) < 1e-5
    assert relative_error(permutohedral_filter(values, features, reverse=True)[:points], case["out_reverse"].T) < 1e-5
    norm = 1 / (permutohedral_filter(ones, features)[:points, 0] + 1e-20)
    assert relative_error(norm, case["norm"]) < 1e-5


@pytest.mark.parametrize(
    "path",
    # A pixel grid alone has points exactly on the border of two simplices, where rounding decides which one it is.
    [path for path in golden_cases("permutohedral") if not path.stem.startswith("spatial")],
    ids=lambda path: path.stem,
)
def test_golden_simplices(path: Path) -> None:
    """The plain lattice's simplices are the original's: same barycentric coordinates, same points share a vertex."""
    case = np.load(path)
    corners, weights = plain.embed(torch.from_numpy(case["features"].astype(np.float64)))
    expected = case["barycentric"].ravel()
    assert np.abs(weights.flatten().numpy() - expected).max() < 2e-4
    names: dict[tuple[int, ...], int] = {}
    for vertex, offset, weight in zip(corners.flatten(0, 1).tolist(), case["offset"].ravel(), expected):
        if weight > 1e-3:
            assert names.setdefault(tuple(vertex), int(offset)) == offset
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 6, 9, 16, 17, 20, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reverse", [False, True])
def test_equals_plain_reference(dimension: int, dtype: torch.dtype, reverse: bool) -> None:
    """The filter, or its transpose: what autograd makes of the plain one."""
    rng = np.random.default_rng(dimension)
    features = torch.from_numpy(rng.normal(size=(90, dimension)) * 1.3)
    values = torch.from_numpy(rng.normal(size=(90, 11))).requires_grad_()
    expected = plain.Lattice(features)(values)
    if reverse:
        (expected,) = torch.autograd.grad(expected, values, values.detach())
    actual = permutohedral_filter(values.detach().to(dtype), features.to(dtype), reverse=reverse)
    assert relative_error(actual, expected.detach().numpy()) < (1e-4 if dtype == torch.float32 else 1e-12)


def test_features_too_wide_for_a_packed_key() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(80, 6)) * 0.7 + rng.choice([-3e6, 0, 3e6], size=(80, 1)))
    values = torch.from_numpy(rng.normal(size=(80, 3)))
    expected = plain.Lattice(features)(values).numpy()
    assert relative_error(permutohedral_filter(values, features), expected) < 1e-6


def test_features_far_from_the_origin() -> None:
    rng = np.random.default_rng(1)
    features, values = (torch.from_numpy(a) for a in (rng.normal(size=(200, 3)) * 2 - 1000, rng.normal(size=(200, 4))))
    expected = plain.Lattice(features)(values).numpy()
    assert relative_error(permutohedral_filter(values, features), expected) < 1e-9


@pytest.mark.parametrize(("features", "bound"), [("spatial", 0.02), ("bilateral", 0.03)])
def test_approximates_the_gaussian(features: str, bound: float) -> None:
    """Normalised, the lattice is on average within 0.02 (position) and 0.03 (position and colour) of the Gaussian.

    The values are sines on the scale of the kernel, range -1 to 1. That is what the lattice is: interpolation and a blur
    of three taps per axis instead of a Gaussian. The largest errors, up to 0.08 and 0.12 here, are at the border, where
    vertices that no point touches drop a part of the kernel.
    """
    at = smooth_image_features(30, 40)
    at = at[:, :2] if features == "spatial" else at
    values = torch.stack([at[:, 0].sin(), (at[:, 0] + at[:, 1]).cos(), torch.ones(len(at)).double()], 1)
    gaussian = torch.exp(-torch.cdist(at, at).square() / 2)
    truth = gaussian @ values
    lattice = permutohedral_filter(values, at)
    truth, lattice = truth[:, :2] / truth[:, 2:], lattice[:, :2] / lattice[:, 2:]
    error = (truth - lattice).abs()
    assert error.mean() < bound
    assert error.max() < 5 * bound


def test_reverse_is_the_transpose() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(60, 4, generator=rng, dtype=torch.float64)
    eye = torch.eye(60, dtype=torch.float64)
    forward, reverse = permutohedral_filter(eye, features), permutohedral_filter(eye, features, reverse=True)
    assert torch.allclose(forward, reverse.T, atol=1e-14)
    assert not torch.allclose(forward, forward.T, atol=1e-6)


def test_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(12, 3, generator=rng, dtype=torch.float64)
    values = torch.randn(12, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: permutohedral_filter(v, features), values)
    assert torch.autograd.gradcheck(lambda v: permutohedral_filter(v, features, reverse=True), values)


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 24, 25, 50])
def test_channels_are_independent(channels: int) -> None:
    rng = torch.Generator().manual_seed(channels)
    features, values = torch.randn(300, 5, generator=rng), torch.randn(300, channels, generator=rng)
    together = permutohedral_filter(values, features)
    for c in range(channels):
        assert torch.equal(together[:, c : c + 1], permutohedral_filter(values[:, c : c + 1], features))


@pytest.mark.parametrize("dimension", [2, 5])
def test_threads_do_not_change_a_bit(dimension: int) -> None:
    rng = torch.Generator().manual_seed(0)
    features, values = torch.randn(20000, dimension, generator=rng) * 3, torch.randn(20000, 5, generator=rng)
    one = at_threads(1, values, features)
    for threads in (2, 4):
        assert torch.equal(one, at_threads(threads, values, features))


def test_one_point_and_equal_points() -> None:
    single = permutohedral_filter(torch.ones(1, 1), torch.zeros(1, 2))
    assert torch.isfinite(single).all()
    many = permutohedral_filter(torch.ones(1000, 1), torch.full((1000, 2), 3.7))
    assert torch.allclose(many, many[:1].expand_as(many))


def test_inputs_need_not_be_contiguous() -> None:
    rng = torch.Generator().manual_seed(0)
    features, values = torch.randn(3, 50, generator=rng).T, torch.randn(4, 50, generator=rng).T
    expected = permutohedral_filter(values.contiguous(), features.contiguous())
    assert torch.equal(permutohedral_filter(values, features), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_features_must_be_finite(bad: float) -> None:
    features = torch.zeros(100, 3)
    features[42, 1] = bad
    with pytest.raises(ValueError, match="feature 1 of point 42 is NaN or infinite"):
        permutohedral_filter(torch.ones(100, 1), features)


@pytest.mark.parametrize(
    ("values", "features", "message"),
    [
        (torch.ones(5, 1), torch.ones(6, 2), r"\(5, 1\) and \(6, 2\)"),
        (torch.ones(5), torch.ones(5, 2), r"values must be \(N, C\)"),
        (torch.ones(5, 1), torch.ones(5, 33), "1 to 32 dimensions, got 33"),
        (torch.ones(5, 1), torch.ones(5, 0), "1 to 32 dimensions, got 0"),
        (torch.ones(0, 1), torch.ones(0, 2), "at least one point"),
        (torch.ones(5, 0), torch.ones(5, 2), "at least one channel"),
        (torch.ones(5, 1), torch.ones(5, 2).double(), "torch.float64 but values is torch.float32"),
        (torch.ones(5, 1).half(), torch.ones(5, 2).half(), "must be torch.float32 or torch.float64"),
        (torch.ones(5, 1), torch.full((5, 2), 1e8), "more than float32 resolves"),
    ],
)
def test_errors(values: torch.Tensor, features: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        permutohedral_filter(values, features)
