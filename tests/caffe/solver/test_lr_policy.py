"""Learning rates beside their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.solver.lr_policy import LearningRate


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"lr_policy": "fixed"}, lambda i: 0.2),
        ({"lr_policy": "step", "gamma": 0.5, "stepsize": 3}, lambda i: 0.2 * 0.5 ** (i // 3)),
        ({"lr_policy": "exp", "gamma": 0.9}, lambda i: 0.2 * 0.9**i),
        ({"lr_policy": "inv", "gamma": 0.1, "power": 0.75}, lambda i: 0.2 * (1 + 0.1 * i) ** -0.75),
        ({"lr_policy": "multistep", "gamma": 0.1, "stepvalue": [2, 5]}, lambda i: 0.2 * 0.1 ** ((i >= 2) + (i >= 5))),
        ({"lr_policy": "poly", "power": 2, "max_iter": 8}, lambda i: 0.2 * (1 - i / 8) ** 2),
        ({"lr_policy": "sigmoid", "gamma": -0.5, "stepsize": 4}, lambda i: 0.2 / (1 + math.exp(0.5 * (i - 4)))),
    ],
    ids=lambda value: value["lr_policy"] if isinstance(value, dict) else "",
)
def test_learning_rate_policies(options: dict[str, object], expected: Callable[[int], float]) -> None:
    rate = LearningRate(caffe_pb2.SolverParameter(base_lr=0.2, **options))
    assert [rate.at(i) for i in range(8)] == pytest.approx([expected(i) for i in range(8)], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr_policy": ""}, "Unknown learning rate policy"),
        ({"lr_policy": "step"}, "needs a stepsize"),
        ({"lr_policy": "poly", "power": 0.9}, "poly needs a max_iter greater than 0"),
        ({"lr_policy": "exp", "gamma": 1e30}, "exp has no learning rate at iteration 1000 with gamma 1e"),
        ({"lr_policy": "inv", "gamma": -0.5, "power": 0.75}, "inv has no learning rate at iteration 1000"),
    ],
)
def test_wrong_learning_rate_policies(options: dict[str, object], words: str) -> None:
    with pytest.raises(caffe.CaffeError, match=words):
        LearningRate(caffe_pb2.SolverParameter(base_lr=1, **options)).at(1000)


def test_a_sigmoid_that_starts_far_away_is_zero() -> None:
    param = caffe_pb2.SolverParameter(base_lr=1, lr_policy="sigmoid", gamma=-1, stepsize=0)
    assert LearningRate(param).at(5000) == pytest.approx(0)


def test_a_rate_that_starts_behind_its_steps_counts_them() -> None:
    """As a resumed run does, which asks for one iteration after another and has its step from the snapshot."""
    param = caffe_pb2.SolverParameter(base_lr=1, lr_policy="multistep", gamma=0.5, stepvalue=[2, 4])
    rate = LearningRate(param)
    assert [rate.at(i) for i in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    resumed = LearningRate(param)
    resumed.current_step = 1
    assert [resumed.at(3), resumed.at(4), resumed.at(5)] == [0.5, 0.25, 0.25]
    assert resumed.current_step == 2
