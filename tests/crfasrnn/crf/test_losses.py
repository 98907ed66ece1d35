"""The robust log-likelihood: closed forms, gradients in float64, cross entropy as its limit, and the layer in a net."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import caffe
from caffe.errors import CaffeError
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.crf.losses import RobustLogLikelihoodLoss, robust_log_likelihood


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (2, 3, 4, 5), and labels of which two are 255."""
    generator = torch.Generator().manual_seed(1)
    scores = 3 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0, 0] = labels[1, 3, 2] = 255
    return scores.to(dtype), labels


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


def loss_net(layer: str, axis: int = 1, **options: object) -> caffe.Net:
    n = NetSpec()
    shape = [2, 3, 4, 5] if axis == 1 else [2, 4, 5, 3]
    n.scores = L.Input(shape={"dim": shape})
    n.labels = L.Input(shape={"dim": [2, 4, 5]})
    n.loss = getattr(L, layer)(n.scores, n.labels, softmax_param={"axis": axis}, **options)
    definition = n.to_proto()
    definition.force_backward = True
    net = caffe.Net(definition, caffe.TEST)
    scores, labels = problem(torch.float32)
    net.blobs["scores"].data[...] = scores if axis == 1 else scores.movedim(1, 3)
    net.blobs["labels"].data[...] = labels
    return net


@pytest.mark.usefixtures("compute")
@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("axis", [1, 3])
def test_layer_without_robustness_is_softmax_with_loss(normalization: str, axis: int) -> None:
    loss_param = {"ignore_label": 255, "normalization": getattr(caffe.proto.caffe_pb2.LossParameter, normalization)}
    options = {"axis": axis, "loss_param": loss_param}
    plain = loss_net("SoftmaxWithLoss", **options)
    robust = loss_net("RobustLogLikelihoodLoss", python_param={"param_str": "robustness: 0"}, **options)
    for net in (plain, robust):
        net.forward()
        net.backward()
    np.testing.assert_allclose(robust.blobs["loss"].data, plain.blobs["loss"].data, rtol=1e-6)
    np.testing.assert_allclose(robust.blobs["scores"].diff, plain.blobs["scores"].diff, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("compute")
def test_layer_computes_the_loss() -> None:
    scores, labels = problem()
    for text, robustness in (("", 0.01), ("robustness: 0.2", 0.2)):
        net = loss_net("RobustLogLikelihoodLoss", loss_param={"ignore_label": 255}, python_param={"param_str": text})
        expected = robust_log_likelihood(scores, labels, robustness).item()
        assert float(net.forward()["loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("text", ["0.2", "robustness: -1", "robustness: nan", "robustness: x", "sigma: 1"])
def test_layer_refuses_other_options(text: str) -> None:
    with pytest.raises(CaffeError, match=r"layer 'loss'.*robustness: NUMBER"):
        loss_net("RobustLogLikelihoodLoss", python_param={"param_str": text})


def test_layer_names_a_wrong_label() -> None:
    with pytest.raises(CaffeError, match=r"label 255 at position \(0, 0, 0\)"):
        loss_net("RobustLogLikelihoodLoss").forward()
