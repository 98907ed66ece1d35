"""Iterations that end where Q has settled: against the rule applied to the scores of 1, 2, ... iterations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crfasrnn.crf import Bilateral, CrfRnn, Spatial, mean_field
from crfasrnn.densecrf import DenseCRF2D

MOST, TOLERANCE = 60, 1e-3


def scene(batch: int = 3, classes: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Scores, each image more certain than the one before, and pictures."""
    rng = np.random.default_rng(seed)
    unary = rng.normal(0, 1, (batch, classes, 20, 24)) * np.geomspace(0.1, 3, batch)[:, None, None, None]
    return torch.tensor(unary, dtype=torch.float32), torch.tensor(rng.uniform(0, 255, (batch, 3, 20, 24))).float()


def module(**options: Any) -> CrfRnn:
    return CrfRnn(4, [Spatial(2, weight=1.5), Bilateral(10, 40, weight=1)], **options)


def by_rule(crf: CrfRnn, unary: Tensor, image: Tensor, **how: Any) -> list[int]:
    """For each image the number of iterations: one more than the first that changed no Q by TOLERANCE."""
    taken = how.get("mask", torch.ones(len(unary), *unary.shape[2:], dtype=torch.bool))
    before, found = unary.softmax(1), [MOST] * len(unary)
    for t in range(1, MOST - 1):
        after = crf(unary, image, iterations=t, **how).softmax(1)
        change = ((after - before).abs().amax(1) * taken).flatten(1).amax(1)
        found = [min(n, t + 1) if c < TOLERANCE else n for n, c in zip(found, change.tolist())]
        before = after
    return found


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
def test_each_image_ends_where_nothing_moves_any_more(masked: bool) -> None:
    unary, image = scene()
    how: dict[str, Any] = {}
    if masked:
        how["mask"] = torch.rand(unary.shape[0], *unary.shape[2:], generator=torch.Generator().manual_seed(1)) > 0.3
    crf, run = module(), torch.zeros(len(unary), dtype=torch.int64)
    scores = crf(unary, image, iterations=MOST, tolerance=TOLERANCE, iterations_run=run, **how)
    assert run.tolist() == by_rule(crf, unary, image, **how)
    assert len(set(run.tolist())) > 1, "the images are alike: a count of one of them would pass"
    for n, count in enumerate(run.tolist()):
        assert torch.equal(scores[n], crf(unary, image, iterations=count, **how)[n])


@torch.no_grad()
def test_classes_left_out_on_the_way_do_not_hide_that_others_move() -> None:
    """Three of 28 classes are possible everywhere, nine others in a corner until the messages arrive, the rest nowhere."""
    unary, image = scene(classes=28)
    unary[:, 3:] -= 12
    unary[:, 3:12, :4, :4] += 11
    crf = CrfRnn(28, [Spatial(3, weight=3), Bilateral(10, 40, weight=2)])
    run = torch.zeros(len(unary), dtype=torch.int64)
    how: dict[str, Any] = {"iterations": MOST, "min_probability": 1e-2, "tolerance": TOLERANCE, "iterations_run": run}
    scores = crf(unary, image, **how)
    assert run.tolist() == by_rule(crf, unary, image)
    for n, count in enumerate(run.tolist()):
        exact, pruned = (crf(unary, image, iterations=count, min_probability=p)[n] for p in (0, 1e-2))
        assert torch.equal(scores[n], pruned)
        assert not torch.equal(pruned, exact)


@torch.no_grad()
def test_all_iterations_are_run_without_a_tolerance() -> None:
    unary, image = scene()
    run = torch.zeros(len(unary), dtype=torch.int64)
    scores = module()(unary, image, iterations=7, iterations_run=run)
    assert run.tolist() == [7] * len(unary)
    assert torch.equal(scores, module()(unary, image, iterations=7))


def test_training_runs_all() -> None:
    unary, image = scene()
    crf, run = module(), torch.zeros(len(unary), dtype=torch.int64)
    scores = crf(unary, image, iterations=MOST, tolerance=0.5, iterations_run=run)
    assert run.tolist() == [MOST] * len(unary)
    assert torch.equal(scores, crf(unary, image, iterations=MOST))


def test_unrolled_iterations_are_counted_too() -> None:
    unary, image = scene()
    run = torch.zeros(len(unary), dtype=torch.int64)
    module(learn_bandwidths=True)(unary, image, iterations=2, tolerance=0.5, iterations_run=run)
    assert run.tolist() == [2] * len(unary)


@torch.no_grad()
def test_compiled_graphs_end_early_too() -> None:
    unary, image = scene()
    crf = module()

    def refined(unary: Tensor) -> tuple[Tensor, Tensor]:
        run = torch.zeros(len(unary), dtype=torch.int64)
        return crf(unary, image, iterations=MOST, tolerance=TOLERANCE, iterations_run=run), run

    scores, run = torch.compile(refined, backend="aot_eager", fullgraph=True)(unary)
    expected, counts = refined(unary)
    assert run.tolist() == counts.tolist()
    assert torch.equal(scores, expected)


@torch.no_grad()
def test_a_volume_ends_early() -> None:
    rng = np.random.default_rng(2)
    unary = torch.tensor(rng.normal(0, 1, (1, 2, 4, 9, 8))).float()
    crf, run = CrfRnn(2, [Spatial(2, weight=0.3)]), torch.zeros(1, dtype=torch.int64)
    scores = crf(unary, iterations=MOST, tolerance=TOLERANCE, iterations_run=run)
    assert 1 < int(run[0]) < MOST
    assert torch.equal(scores, crf(unary, iterations=int(run[0])))


def test_the_drop_in_for_pydensecrf_ends_early() -> None:
    rng = np.random.default_rng(3)
    crf = DenseCRF2D(24, 20, 3)
    crf.setUnaryEnergy(rng.normal(0, 1, (3, 480)).astype(np.float32))
    crf.addPairwiseGaussian(sxy=2, compat=0.5)
    early = crf.inference(MOST, tolerance=TOLERANCE)
    count = crf.iterations_run
    assert 1 < count < MOST
    assert np.array_equal(early, crf.inference(count))
    assert crf.iterations_run == count
    assert not np.array_equal(early, crf.inference(1))


def test_what_makes_no_sense_is_refused() -> None:
    unary, image = scene(batch=1)
    crf = module()
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="tolerance must be at least 0 and below 1"):
            crf(unary, image, tolerance=wrong)
        with pytest.raises(ValueError, match="tolerance must be at least 0 and below 1"):
            DenseCRF2D(2, 2, 2).inference(1, tolerance=wrong)
    with pytest.raises(ValueError, match="untied iterations are all run: tolerance must be 0"):
        module(iterations=2, untied=True)(unary, image, tolerance=0.1)
    with pytest.raises(TypeError, match=r"iterations_run must be a torch.Tensor, not list"):
        crf(unary, image, iterations_run=[0])
    for run in (torch.zeros(2, dtype=torch.int64), torch.zeros(1)):
        with pytest.raises(ValueError, match=r"iterations_run must be int64 \(1,\), one number for each image"):
            crf(unary, image, iterations_run=run)
    eye = torch.eye(4)
    with pytest.raises(ValueError, match="tolerance"):
        mean_field(
            unary, unary, image, eye, eye, -eye, iterations=1, theta_alpha=9, theta_beta=9, theta_gamma=2, tolerance=2
        )
