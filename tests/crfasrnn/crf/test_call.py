"""The record of a call is the operator's signature: one order, said once."""

from __future__ import annotations

import torch
from support.crfasrnn.mean_field_kernels import channels, kernels_example

from crfasrnn.crf import operator
from crfasrnn.crf.call import DIFFERENTIABLE, Call, GradientCall


def call(untied: bool = False) -> Call:
    unary, q0, weights, mu = kernels_example(2, 3, 5, 6, kernels=2)
    stacked = torch.stack(weights)
    if untied:
        stacked, mu = stacked[:, None].repeat(1, 2, 1, 1), mu.repeat(2, 1, 1)
    features = [torch.zeros(1, 0, 5, 6).double(), channels(2, 4, 5, 6)]
    return Call(
        unary,
        q0,
        features,
        stacked,
        mu,
        None,
        [2.0, 4.0],
        [2.0, 4.0],
        [1.0, 1.5],
        [2, 3],
        2,
        keep_state=True,
        activation=0,
        min_probability=0.0,
        tolerance=0.0,
    )


def test_torch_knows_the_operators_by_the_fields() -> None:
    for packet, record in (
        (torch.ops.crfasrnn.mean_field, Call),
        (torch.ops.crfasrnn.mean_field_backward, GradientCall),
    ):
        assert tuple(argument.name for argument in packet.default._schema.arguments) == record._fields
    assert set(DIFFERENTIABLE) < set(Call._fields)


def test_gradients_have_the_shapes_of_what_they_are_gradients_of() -> None:
    for untied in (False, True):
        made = call(untied)
        scores, state, _ = operator.forward_on_cpu(made)
        told = made.gradient_call()._replace(grad=torch.ones_like(scores), state=state, wanted=[True] * 4)
        assert told.untied == untied
        assert told.channels == [0, 4]
        expected = [tuple(getattr(made, name).shape) for name in DIFFERENTIABLE]
        assert told.shapes() == expected
        assert [tuple(gradient.shape) for gradient in operator.backward_on_cpu(told)] == expected


def test_what_waits_for_backward_holds_no_tensor_of_the_call() -> None:
    told = call().gradient_call()
    assert told.grad.numel() == told.state.numel() == 0
