"""The losses as layers: beside SoftmaxWithLoss and the functions, their options and their errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.crfasrnn.losses import problem

import caffe
from caffe.errors import CaffeError
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.crf.losses import lovasz_softmax, robust_log_likelihood


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


@pytest.mark.usefixtures("compute")
@pytest.mark.parametrize("axis", [1, 3])
def test_lovasz_layer_computes_the_loss_and_its_gradient(axis: int) -> None:
    scores, labels = problem(torch.float32)
    net = loss_net("LovaszSoftmaxLoss", axis=axis, loss_param={"ignore_label": 255}, loss_weight=2)
    scores.requires_grad_()
    expected = lovasz_softmax(scores, labels)
    expected.backward()
    assert float(net.forward()["loss"]) == pytest.approx(expected.item(), rel=1e-5)
    net.backward()
    assert scores.grad is not None
    wanted = 2 * (scores.grad if axis == 1 else scores.grad.movedim(1, 3))
    np.testing.assert_allclose(net.blobs["scores"].diff, wanted, rtol=1e-5, atol=1e-7)


def test_lovasz_layer_names_a_wrong_label() -> None:
    with pytest.raises(CaffeError, match=r"label 255 at position \(0, 0, 0\)"):
        loss_net("LovaszSoftmaxLoss").forward()
