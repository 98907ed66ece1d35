"""The robust log-likelihood: closed forms, gradients in float64, cross entropy as its limit, and the layer in a net."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.crfasrnn.losses import problem

from crfasrnn.crf.losses import RobustLogLikelihoodLoss, robust_log_likelihood


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
