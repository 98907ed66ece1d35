"""The records of one call of the mean-field operator and of its gradient: they alone know the order of the arguments.

The operator's schema, its kernels for CPU and CUDA, its fake and its autograd formula are all made from the fields below. A new
argument is a new field.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints

from torch import Tensor


class Call(NamedTuple):
    """One call for planes, checked as crfasrnn.crf.mean_field_kernels checks it.

    Lists have one entry per kernel. Fields:
        unary, q0: (N, C, H, W) scores.
        features: (N or 1, d, H, W) each, d = 0 for none.
        weights, compatibility: (kernels, C, C) and (C, C), or (kernels, iterations, C, C) and (iterations, C, C) where iterations
            are untied.
        mask: (N, H, W) bool, or None.
        theta_x, theta_y: in pixels, 0 where the position is no feature. theta: in the features' units.
        normalization, activation: indices of crfasrnn.crf.options.NORMALIZATIONS and ACTIVATIONS.
        iterations: T. keep_state: whether a gradient will be asked for.
        min_probability, tolerance: see mean_field; nothing is left out, and all iterations are run, where the state is kept.
    """

    unary: Tensor
    q0: Tensor
    features: list[Tensor]
    weights: Tensor
    compatibility: Tensor
    mask: Tensor | None
    theta_x: list[float]
    theta_y: list[float]
    theta: list[float]
    normalization: list[int]
    iterations: int
    keep_state: bool
    activation: int
    min_probability: float
    tolerance: float

    @property
    def untied(self) -> bool:
        """Whether every iteration has parameters of its own."""
        return self.compatibility.ndim == 3

    def gradient_call(self) -> GradientCall:
        """What its gradient is told of the call, a state on a device being unable to tell the host; the rest is filled in later."""
        channels = [features.shape[1] for features in self.features]
        nothing = self.unary.new_empty(0)
        return GradientCall(
            grad=nothing,
            state=nothing,
            wanted=[],
            channels=channels,
            theta_x=self.theta_x,
            theta_y=self.theta_y,
            normalization=self.normalization,
            iterations=self.iterations,
            untied=self.untied,
        )


class GradientCall(NamedTuple):
    """The gradient of a call.

    grad: of its scores. state: what the call returned beside them. wanted: which of DIFFERENTIABLE. channels: the number of
    features of each kernel. The other fields are the call's.
    """

    grad: Tensor
    state: Tensor
    wanted: list[bool]
    channels: list[int]
    theta_x: list[float]
    theta_y: list[float]
    normalization: list[int]
    iterations: int
    untied: bool

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the gradients, in the order of DIFFERENTIABLE."""
        scores, classes = tuple(self.grad.shape), self.grad.shape[1]
        matrix = (*([self.iterations] if self.untied else []), classes, classes)
        return [scores, scores, (len(self.channels), *matrix), matrix]


# What the operator is differentiable in, in the order in which the gradient gives it.
DIFFERENTIABLE = ("unary", "q0", "weights", "compatibility")

_TYPES: dict[Any, str] = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    list[Tensor]: "Tensor[]",
    list[float]: "float[]",
    list[int]: "int[]",
    list[bool]: "bool[]",
    float: "float",
    int: "int",
    bool: "bool",
}


def _schema(record: type, results: str) -> str:
    fields = ", ".join(f"{_TYPES[kind]} {name}" for name, kind in get_type_hints(record).items())
    return f"({fields}) -> ({results})"


SCHEMA = _schema(Call, "Tensor, Tensor, Tensor")
GRADIENT_SCHEMA = _schema(GradientCall, ", ".join(f"Tensor {name}" for name in DIFFERENTIABLE))
