"""Inference that leaves out classes whose probability matters nowhere: against inference with all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crfasrnn.crf import CrfRnn, Kernel, mean_field, mean_field_kernels

CLASSES, HEIGHT, WIDTH = 21, 30, 40
THETAS = {"theta_alpha": 12.0, "theta_beta": 20.0, "theta_gamma": 2.0}


def scene(
    seed: int, alive: int, below: float = 12.0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores in which so many of the classes are near the best one somewhere, all others `below` it and more; and an image."""
    rng = np.random.default_rng(seed)
    unary = rng.normal(0, 1, (1, CLASSES, HEIGHT, WIDTH))
    unary[:, rng.permutation(CLASSES)[alive:]] -= below + 3
    image = np.kron(rng.integers(0, 256, (1, 3, 5, 8)), np.ones((6, 5))) + rng.normal(0, 4, (1, 3, HEIGHT, WIDTH))
    return torch.tensor(unary, dtype=dtype), torch.tensor(image, dtype=dtype)


def matrices(kind: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Weights of two kernels and compatibilities: Potts, or with all classes mixed."""
    eye = torch.eye(CLASSES, dtype=dtype)
    if kind == "potts":
        return 1.5 * eye, 2 * eye, -eye
    generator = torch.Generator().manual_seed(1)
    noise = [0.05 * torch.randn(CLASSES, CLASSES, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3)]
    return 1.5 * eye + noise[0], 2 * eye + noise[1], -eye + noise[2]


def scores(scene: tuple[torch.Tensor, torch.Tensor], kind: str, eps: float, iterations: int = 5) -> torch.Tensor:
    unary, image = scene
    how: dict[str, Any] = {"iterations": iterations, "min_probability": eps, **THETAS}
    return mean_field(unary, unary, image, *matrices(kind, unary.dtype), **how)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["potts", "full"])
@pytest.mark.parametrize("alive", [1, 5, 12])
def test_scores_of_all_classes_are_nearly_those_of_exact_inference(alive: int, kind: str, dtype: torch.dtype) -> None:
    data = scene(alive, alive, dtype=dtype)
    exact, pruned = scores(data, kind, 0.0), scores(data, kind, 1e-4)
    assert not torch.equal(exact, pruned)  # something was left out
    torch.testing.assert_close(pruned, exact, atol=2e-3, rtol=0)
    assert torch.equal(exact, scores(data, kind, 0.0))


@pytest.mark.parametrize("kind", ["potts", "full"])
@pytest.mark.parametrize("eps", [1e-5, 1e-3, 1e-2, 0.1])
def test_the_bound_of_one_iteration(kind: str, eps: float) -> None:
    spatial, bilateral, mu = matrices(kind, torch.float64)
    largest = float((mu @ spatial).abs().max() + (mu @ bilateral).abs().max())
    for seed in range(4):
        data = scene(seed, 6, below=-np.log(eps) - 2, dtype=torch.float64)
        exact, pruned = scores(data, kind, 0.0, 1), scores(data, kind, eps, 1)
        assert float((exact - pruned).abs().max()) <= 2 * CLASSES * eps * largest


def test_a_class_that_rises_comes_back() -> None:
    """A compatibility that feeds class 9 from class 2: it is far below at first, and wins in the end."""
    unary, image = scene(3, 3)
    unary[:, 9], unary[:, 2] = -12.0, 3.0
    spatial, bilateral, mu = matrices("potts")
    mu[9, 2] = -8.0
    how: dict[str, Any] = {"iterations": 5, **THETAS}  # the two take turns
    exact = mean_field(unary, unary, image, spatial, bilateral, mu, **how)
    pruned = mean_field(unary, unary, image, spatial, bilateral, mu, min_probability=1e-3, **how)
    assert int((exact.argmax(1) == 9).sum()) > 0
    torch.testing.assert_close(pruned, exact, atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("iterations", [3, 4, 5])
def test_classes_that_were_left_out_on_the_way_come_back(iterations: int) -> None:
    """Eleven classes, of which class 2 feeds class 9 so much that all others vanish; but then nothing feeds it."""
    unary, image = scene(4, 0)
    unary[0, :11] += 15
    unary[0, 9], unary[0, 2] = -3.0, 3.0
    spatial, bilateral, mu = matrices("potts")
    mu[9, 2] = -8.0
    how: dict[str, Any] = {"iterations": iterations, **THETAS}
    exact = mean_field(unary, unary, image, spatial, bilateral, mu, **how)
    pruned = mean_field(unary, unary, image, spatial, bilateral, mu, min_probability=1e-3, **how)
    assert int((exact.argmax(1) == (9 if iterations % 2 else 2)).sum()) > HEIGHT * WIDTH / 2
    torch.testing.assert_close(pruned, exact, atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("kind", ["potts", "full"])
def test_classes_that_vanish_on_the_way_are_left_out_too(kind: str) -> None:
    """Nine classes are possible in a patch at first; the messages of one that is strong everywhere leave them behind."""
    unary, image = scene(5, 0)
    unary[:] -= 12
    unary[0, [3, 17]] = torch.tensor([[[3.0]], [[1.0]]])
    unary[0, 5:14, 10:14, 10:14] = -1.0
    exact, pruned = scores((unary, image), kind, 0.0, 6), scores((unary, image), kind, 1e-2, 6)
    assert torch.equal(exact.argmax(1), pruned.argmax(1))
    torch.testing.assert_close(pruned, exact, atol=0.1, rtol=0)
    # What was left out on the way has its unary scores, since it sends itself no messages.
    if kind == "potts":
        assert torch.equal(pruned[0, 5:14], unary[0, 5:14])


def test_masks_batches_other_starts_and_untied_iterations() -> None:
    pairs = [scene(seed, 4) for seed in (7, 8)]
    unary, image = (torch.cat(parts) for parts in zip(*pairs))
    start = torch.cat([scene(seed, 6)[0] for seed in (9, 10)])
    mask = torch.ones(2, HEIGHT, WIDTH, dtype=torch.bool)
    mask[0, :, 30:], mask[1, 20:] = False, False
    kernels = [Kernel(2.0), Kernel(12.0, image, 20.0)]
    weights = [torch.stack([(1 + 0.1 * t) * m for t in range(4)]) for m in matrices("full")]
    how: dict[str, Any] = {"iterations": 4, "mask": mask}
    exact = mean_field_kernels(unary, start, kernels, weights[:2], weights[2], **how)
    pruned = mean_field_kernels(unary, start, kernels, weights[:2], weights[2], min_probability=1e-4, **how)
    torch.testing.assert_close(pruned, exact, atol=5e-3, rtol=0)
    assert not pruned[~mask[:, None].expand_as(pruned)].any()
    alone = mean_field_kernels(
        unary[1:], start[1:], [Kernel(2.0), Kernel(12.0, image[1:], 20.0)], weights[:2], weights[2],
        iterations=4, mask=mask[1:], min_probability=1e-4,
    )  # fmt: skip
    assert torch.equal(alone[0], pruned[1])


def test_the_same_bits_for_any_number_of_threads() -> None:
    data, before = scene(11, 7), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.append(scores(data, "full", 1e-3))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("normalization", ["none", "before", "symmetric"])
def test_kernels_that_are_no_means(normalization: str) -> None:
    """Potts is pruned behind them; classes that mix are not."""
    unary, image = scene(12, 5)
    kernels = [Kernel(2.0, normalization=normalization), Kernel(12.0, image, 20.0, normalization)]
    for kind in ("potts", "full"):
        *weights, mu = (0.02 * m if normalization in ("none", "before") else m for m in matrices(kind))
        mu = mu / 0.02 if normalization in ("none", "before") else mu
        exact, pruned = (
            mean_field_kernels(unary, unary, kernels, weights, mu, iterations=3, min_probability=eps)
            for eps in (0.0, 1e-3)
        )
        assert torch.equal(exact, pruned) == (kind == "full")
        torch.testing.assert_close(pruned, exact, atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_scores_that_are_not_numbers_give_what_they_give_without(bad: float | None) -> None:
    unary, image = scene(13, 4)
    if bad is None:
        unary[0, :, 2, 2] = -torch.inf  # no class is possible there
    else:
        unary[0, 3, 2, 2] = bad
    exact, pruned = scores((unary, image), "potts", 0.0), scores((unary, image), "potts", 1e-3)
    torch.testing.assert_close(pruned, exact, equal_nan=True, atol=0, rtol=0)


def test_classes_that_are_excluded_stay_so() -> None:
    unary, image = scene(14, 5)
    unary[0, 2] = -torch.inf
    pruned = scores((unary, image), "potts", 1e-3)
    assert bool(torch.isinf(pruned[0, 2]).all())
    torch.testing.assert_close(pruned, scores((unary, image), "potts", 0.0), atol=0.02, rtol=0)


def test_training_computes_all() -> None:
    unary, image = scene(15, 4)
    crf = CrfRnn(CLASSES, iterations=2)
    exact = crf(unary, image)
    assert torch.equal(crf(unary, image, min_probability=0.1), exact)
    with torch.no_grad():
        assert not torch.equal(crf(unary, image, min_probability=0.1), exact)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_probabilities_alone_are_accepted(value: float) -> None:
    with pytest.raises(ValueError, match="min_probability must be at least 0 and below 1"):
        scores(scene(0, 3), "potts", value)
    with pytest.raises(TypeError, match="min_probability must be a number"):
        scores(scene(0, 3), "potts", "0.1")  # type: ignore[arg-type]
