"""From gradient to weight update: the rules of Caffe's six solvers, as functions over tensors.

Each rule takes the gradient (after clipping, division by iter_size and regularisation), its own history tensors, the local learning
rate (rate times lr_mult) and the iteration; it changes the history in place and returns the value to subtract from the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Update = Callable[[torch.Tensor, Sequence[torch.Tensor], float, int, caffe_pb2.SolverParameter], torch.Tensor]


class Rule(NamedTuple):
    """A solver type's update and how many history tensors it keeps per parameter."""

    update: Update
    histories: int


def _sgd(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, _: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    return history[0].mul_(p.momentum).add_(grad, alpha=rate)


def _nesterov(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, _: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    before = history[0].clone()
    history[0].mul_(p.momentum).add_(grad, alpha=rate)
    return history[0] * (1 + p.momentum) - before * p.momentum


def _adagrad(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, _: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    history[0].addcmul_(grad, grad)
    return rate * grad / (history[0].sqrt() + p.delta)


def _rmsprop(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, _: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    history[0].mul_(p.rms_decay).addcmul_(grad, grad, value=1 - p.rms_decay)
    return rate * grad / (history[0].sqrt() + p.delta)


def _adadelta(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, _: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    squares, updates = history
    squares.mul_(p.momentum).addcmul_(grad, grad, value=1 - p.momentum)
    update = grad * ((updates + p.delta) / (squares + p.delta)).sqrt()
    updates.mul_(p.momentum).addcmul_(update, update, value=1 - p.momentum)
    return rate * update


def _adam(
    grad: torch.Tensor, history: Sequence[torch.Tensor], rate: float, iteration: int, p: caffe_pb2.SolverParameter
) -> torch.Tensor:
    mean, square = history
    mean.mul_(p.momentum).add_(grad, alpha=1 - p.momentum)
    square.mul_(p.momentum2).addcmul_(grad, grad, value=1 - p.momentum2)
    t = iteration + 1
    correction = math.sqrt(1 - p.momentum2**t) / (1 - p.momentum**t)
    return rate * correction * mean / (square.sqrt() + p.delta)


RULES = {
    "SGD": Rule(_sgd, 1),
    "Nesterov": Rule(_nesterov, 1),
    "AdaGrad": Rule(_adagrad, 1),
    "RMSProp": Rule(_rmsprop, 1),
    "AdaDelta": Rule(_adadelta, 2),
    "Adam": Rule(_adam, 2),
}


def check_rule(param: caffe_pb2.SolverParameter) -> Rule:
    """The rule for param.type. Raises CaffeError for an unknown type or options that it refuses, in Caffe's words."""
    if param.type not in RULES:
        raise CaffeError(f"Unknown solver type: {param.type} (known types: {', '.join(RULES)})")
    if param.type in ("AdaGrad", "RMSProp") and param.momentum:
        raise CaffeError(f"Momentum cannot be used with {param.type}.")
    return RULES[param.type]
