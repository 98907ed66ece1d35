"""The six rules beside PyTorch's optimizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.solver.updates import RULES, check_rule

RATE = 0.05
PEERS: dict[str, tuple[dict[str, float], Callable[..., torch.optim.Optimizer]]] = {
    "SGD": ({"momentum": 0.9}, partial(torch.optim.SGD, momentum=0.9)),
    "Nesterov": ({"momentum": 0.9}, partial(torch.optim.SGD, momentum=0.9, nesterov=True)),
    "AdaGrad": ({"delta": 1e-6}, partial(torch.optim.Adagrad, eps=1e-6)),
    "RMSProp": ({"rms_decay": 0.95, "delta": 1e-6}, partial(torch.optim.RMSprop, alpha=0.95, eps=1e-6)),
    "AdaDelta": ({"momentum": 0.95, "delta": 1e-6}, partial(torch.optim.Adadelta, rho=0.95, eps=1e-6)),
    # PyTorch adds eps behind the correction, Caffe before it: small, they are the same.
    "Adam": (
        {"momentum": 0.9, "momentum2": 0.99, "delta": 1e-14},
        partial(torch.optim.Adam, betas=(0.9, 0.99), eps=1e-14),
    ),
}


@pytest.mark.parametrize("type_", sorted(RULES))
def test_a_rule_does_what_its_peer_does(type_: str) -> None:
    options, optimizer = PEERS[type_]
    param = caffe_pb2.SolverParameter(type=type_, **options)
    rule = check_rule(param)
    random = torch.Generator().manual_seed(0)
    ours = torch.randn(7, generator=random, dtype=torch.float64)
    theirs = torch.nn.Parameter(ours.clone())
    peer = optimizer([theirs], lr=RATE)
    history = [torch.zeros_like(ours) for _ in range(rule.histories)]
    for iteration in range(20):
        gradient = torch.randn(7, generator=random, dtype=torch.float64)
        theirs.grad = gradient.clone()
        peer.step()
        ours -= rule.update(gradient, history, RATE, iteration, param)
        # The options of a solver file are float32.
        torch.testing.assert_close(ours, theirs.data, rtol=1e-5, atol=1e-6)


def test_histories_are_those_of_caffes_snapshots() -> None:
    """How many blobs a solver state holds for each parameter."""
    assert {type_: rule.histories for type_, rule in RULES.items()} == {
        "SGD": 1,
        "Nesterov": 1,
        "AdaGrad": 1,
        "RMSProp": 1,
        "AdaDelta": 2,
        "Adam": 2,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "Sgd"}, r"Unknown solver type: Sgd \(known types: SGD, Nesterov"),
        ({"type": "AdaGrad", "momentum": 0.9}, "Momentum cannot be used with AdaGrad"),
        ({"type": "RMSProp", "momentum": 0.9}, "Momentum cannot be used with RMSProp"),
    ],
)
def test_what_no_rule_does_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        check_rule(caffe_pb2.SolverParameter(**options))
