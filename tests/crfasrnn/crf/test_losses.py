"""The losses: closed forms, brute force, gradients in float64, and cross entropy as the robust log-likelihood's limit."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.crfasrnn.losses import problem

from crfasrnn.crf.losses import LovaszSoftmaxLoss, RobustLogLikelihoodLoss, lovasz_softmax, robust_log_likelihood


def test_closed_form() -> None:
    # Probabilities 1/4 and 3/4 of the labels.
    scores = torch.log(torch.tensor([[1.0, 3.0], [1.0, 3.0]], dtype=torch.float64))
    terms = robust_log_likelihood(scores, torch.tensor([0, 1]), robustness=0.25, reduction="none")
    assert torch.allclose(terms, torch.tensor([math.log(2), 0.0], dtype=torch.float64), atol=1e-12)
    assert RobustLogLikelihoodLoss(0.25)(scores, torch.tensor([0, 255])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("robustness", [0.0, 0.01, 0.5])
def test_gradients(robustness: float) -> None:
    scores, labels = problem()
    scores.requires_grad_()
    for reduction in ("mean", "sum", "none"):
        assert torch.autograd.gradcheck(
            lambda x, r=reduction: robust_log_likelihood(x, labels, robustness, reduction=r), scores
        )


def test_gradient_is_cross_entropys_times_p_over_p_plus_robustness() -> None:
    scores, labels = problem()
    scores.requires_grad_()
    (robust,) = torch.autograd.grad(robust_log_likelihood(scores, labels, 0.1, reduction="sum"), scores)
    (plain,) = torch.autograd.grad(F.cross_entropy(scores, labels, ignore_index=255, reduction="sum"), scores)
    p = scores.softmax(1).gather(1, labels.clamp(max=2)[:, None])
    assert torch.allclose(robust, plain * p / (p + 0.1), atol=1e-12)
    assert (robust[0, :, 0, 0] == 0).all()


def test_limits() -> None:
    scores, labels = problem()
    expected = F.cross_entropy(scores, labels, ignore_index=255)
    assert robust_log_likelihood(scores, labels, 0.0).item() == pytest.approx(expected.item(), rel=1e-12)
    # An impossible label: bounded cost, no pull, no NaN.
    outlier = torch.tensor([[2000.0, -2000.0]], requires_grad=True)
    loss = robust_log_likelihood(outlier, torch.tensor([1]), 0.01)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.01))
    assert outlier.grad is not None
    assert (outlier.grad == 0).all()
    assert robust_log_likelihood(scores, torch.full_like(labels, 255)).item() == 0
    assert robust_log_likelihood(scores.bfloat16(), labels).dtype == torch.float32


def test_errors() -> None:
    scores, labels = problem()
    with pytest.raises(ValueError, match=r"label 255 at \(0, 0, 0\) is none of 0 to 2"):
        robust_log_likelihood(scores, labels, ignore_label=None)
    with pytest.raises(ValueError, match="robustness must be"):
        robust_log_likelihood(scores, labels, -1.0)
    with pytest.raises(ValueError, match="need labels"):
        robust_log_likelihood(scores, labels[:1])
    with pytest.raises(ValueError, match="reduction is"):
        robust_log_likelihood(scores, labels, reduction="max")


def test_the_ignored_label_is_a_whole_number() -> None:
    scores, labels = torch.zeros(1, 3, 2), torch.zeros(1, 2, dtype=torch.long)
    assert robust_log_likelihood(scores, labels, ignore_label=np.uint8(255)) == robust_log_likelihood(scores, labels)
    for wrong in ("255", [255], torch.zeros(1)):
        with pytest.raises(TypeError, match="ignore_label must be an integer"):
            robust_log_likelihood(scores, labels, ignore_label=wrong)  # type: ignore[arg-type]


def iou_loss(wrong: frozenset[int], truth: np.ndarray) -> float:
    """1 - IU of a class where exactly these positions are wrong about it."""
    true = set(np.flatnonzero(truth).tolist())
    return 1 - len(true - wrong) / len(true | wrong)


def lovasz_by_thresholds(errors: np.ndarray, truth: np.ndarray) -> float:
    """The extension as the integral, over thresholds from 0 to 1, of the loss of the positions whose error is above."""
    edges = np.unique([0.0, *errors, 1.0])
    return sum(
        (high - low) * iou_loss(frozenset(np.flatnonzero(errors > (low + high) / 2).tolist()), truth)
        for low, high in pairwise(edges)
    )


def test_lovasz_is_the_integral_over_thresholds() -> None:
    scores, labels = problem()
    found = lovasz_softmax(scores, labels, reduction="none")
    probabilities = scores.softmax(1).numpy()
    for image in range(2):
        counted = labels[image].numpy() != 255
        truth, values = labels[image].numpy()[counted], probabilities[image][:, counted]
        parts = [
            lovasz_by_thresholds(np.where(truth == label, 1 - values[label], values[label]), truth == label)
            for label in np.unique(truth)
        ]
        assert found[image].item() == pytest.approx(np.mean(parts), rel=1e-12)
    assert lovasz_softmax(scores, labels).item() == pytest.approx(found.mean().item())
    assert LovaszSoftmaxLoss(reduction="sum")(scores, labels).item() == pytest.approx(found.sum().item())


def test_lovasz_of_sure_scores_is_one_minus_iu() -> None:
    rng = np.random.default_rng(0)
    given, truth = rng.integers(0, 4, (1, 9, 9)), rng.integers(0, 3, (1, 9, 9))
    scores = 1e4 * F.one_hot(torch.from_numpy(given), 4).movedim(3, 1).double()
    parts = [
        1 - ((given == label) & (truth == label)).sum() / ((given == label) | (truth == label)).sum()
        for label in range(3)
    ]
    assert lovasz_softmax(scores, torch.from_numpy(truth)).item() == pytest.approx(np.mean(parts))


def test_lovasz_gradients() -> None:
    scores, labels = problem()
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x, labels), scores)
    rows, of_rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True), torch.tensor([0, 1, 255, 2])
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x, of_rows, reduction="none"), rows)


def test_lovasz_without_anything_to_count() -> None:
    scores, labels = problem()
    scores.requires_grad_()
    lovasz_softmax(scores, torch.full_like(labels, 255)).backward()
    assert scores.grad is not None
    assert not scores.grad.any()
    assert lovasz_softmax(torch.zeros(0, 3, 4), torch.zeros(0, 4, dtype=torch.long)).item() == 0
    assert lovasz_softmax(scores.detach().half(), labels).dtype == torch.float32
    with pytest.raises(ValueError, match="label 255 at"):
        lovasz_softmax(scores, labels, ignore_label=None)
    with pytest.raises(ValueError, match="reduction is"):
        lovasz_softmax(scores, labels, reduction="max")
