"""The torch operators crfasrnn::mean_field and crfasrnn::permutohedral_filter: CPU, fake tensors, autograd; CUDA in cuda_op.py.

How the state of a forward pass (lattices, Q of every iteration) gets to backward: the operator returns, beside the scores, a
tensor of one byte whose storage owns the state. Autograd saves that tensor, and compiled graphs pass it on, like any other,
and with the storage the state is freed: after backward, or when the graph is dropped, without a place where states could pile
up. Recomputing in backward instead would need no such thing, but costs another forward pass with its lattices, and would keep
the inputs from being changed in place in between, which solvers do. A registry keyed by a number would free too late, or too
early where a graph is used twice. The price: a saved tensor that is copied instead of kept (torch.autograd.graph.save_on_cpu)
leaves its state behind, and backward says so.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfasrnn import _core

SCHEMA = (
    "(Tensor unary, Tensor q0, Tensor[] features, Tensor weights, Tensor compatibility, Tensor? mask, "
    "float[] theta_x, float[] theta_y, float[] theta, int[] normalization, int iterations, bool keep_state, "
    "int activation) -> (Tensor, Tensor)"
)
BACKWARD_SCHEMA = (
    "(Tensor grad, Tensor state, bool[] wanted, int[] channels, float[] theta_x, float[] theta_y, int[] normalization, "
    "int iterations, bool untied)"
    " -> (Tensor unary, Tensor q0, Tensor weights, Tensor compatibility)"
)
FILTER_SCHEMA = "(Tensor values, Tensor features, bool reverse) -> Tensor"

STATE_IS_GONE = (
    "the state of this mean_field call is gone: its saved tensor was copied (by a saved-tensor hook such as "
    "torch.autograd.graph.save_on_cpu?), and a copy does not carry it"
)


class _StateBytes(np.ndarray):
    """One byte, and the state that lives as long as it does."""

    state: Any


# The states that are alive, by the address of their byte. It owns nothing.
_states: weakref.WeakValueDictionary[int, _StateBytes] = weakref.WeakValueDictionary()


def _carrier(state: Any) -> Tensor:
    owner = np.zeros(1, np.uint8).view(_StateBytes)
    owner.state = state
    tensor = torch.from_numpy(owner)  # the storage holds a reference to the array
    _states[tensor.data_ptr()] = owner
    return tensor


def live_state_bytes() -> int:
    """Heap memory, in bytes, of all states that wait for their backward pass."""
    return sum(owner.state.nbytes for owner in list(_states.values()))


def mean_field_on_cpu(
    unary: Tensor,
    q0: Tensor,
    features: Sequence[Tensor],
    weights: Tensor,
    compatibility: Tensor,
    mask: Tensor | None,
    theta_x: Sequence[float],
    theta_y: Sequence[float],
    theta: Sequence[float],
    normalization: Sequence[int],
    iterations: int,
    keep_state: bool,
    activation: int,
) -> tuple[Tensor, Tensor]:
    """Scores (N, C, H, W) and the carrier of the state; arguments as crfasrnn.crf.mean_field_kernels checks them.

    Lists have one entry per kernel: features (N or 1, d, H, W), d = 0 for none; theta_x, theta_y in pixels, 0 where the position is
    no feature; theta in the features' units; normalization 0 to 3 as in crfasrnn.crf.NORMALIZATIONS. weights: (kernels, C, C) and
    compatibility: (C, C), or (kernels, iterations, C, C) and (iterations, C, C) for untied iterations. mask: (N, H, W) bool, or
    None. activation: as in crfasrnn.crf.ACTIVATIONS.
    """
    source = _core.KernelSource32 if unary.dtype == torch.float32 else _core.KernelSource64
    kernels = [
        source(f.detach().contiguous(), x, y, t, n)
        for f, x, y, t, n in zip(features, theta_x, theta_y, theta, normalization)
    ]
    scores, start, w, mu = (tensor.detach().contiguous() for tensor in (unary, q0, weights, compatibility))
    if mu.ndim == 2:
        w, mu = w[:, None], mu[None]
    out = torch.empty_like(scores)
    taken = None if mask is None else mask.contiguous().view(torch.uint8)
    state = _core.mean_field_forward(
        scores, start, kernels, w, mu, taken, out, iterations, activation, keep_state, torch.get_num_threads()
    )
    return out, torch.zeros(1, dtype=torch.uint8) if state is None else _carrier(state)


mean_field_op = torch.library.custom_op(
    "crfasrnn::mean_field", mean_field_on_cpu, mutates_args=(), device_types="cpu", schema=SCHEMA
)


@mean_field_op.register_fake
def _(unary: Tensor, q0: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(unary, memory_format=torch.contiguous_format), unary.new_empty(1, dtype=torch.uint8)


def mean_field_backward_on_cpu(
    grad: Tensor,
    state: Tensor,
    wanted: Sequence[bool],
    channels: Sequence[int],
    theta_x: Sequence[float],
    theta_y: Sequence[float],
    normalization: Sequence[int],
    iterations: int,
    untied: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of mean_field; those that are not wanted are empty.

    channels: number of features of each kernel; untied: every iteration has parameters of its own. These and what comes between
    say how the forward pass was called: a state on a device cannot tell the host itself.
    """
    owner = _states.get(state.data_ptr())
    if owner is None:
        raise RuntimeError(STATE_IS_GONE)
    grad = grad.contiguous()
    results = tuple(
        torch.empty(shape if needed else (0,), dtype=grad.dtype)
        for shape, needed in zip(gradient_shapes(grad, len(channels), iterations if untied else 0), wanted)
    )
    unary, q0, weights, compatibility = (d if needed else None for d, needed in zip(results, wanted))
    if not untied:
        weights = None if weights is None else weights[:, None]
        compatibility = None if compatibility is None else compatibility[None]
    owner.state.backward(grad, unary, q0, weights, compatibility, torch.get_num_threads())
    return results  # type: ignore[return-value]


mean_field_backward_op = torch.library.custom_op(
    "crfasrnn::mean_field_backward",
    mean_field_backward_on_cpu,
    mutates_args=(),
    device_types="cpu",
    schema=BACKWARD_SCHEMA,
)


@mean_field_backward_op.register_fake
def _(
    grad: Tensor,
    state: Tensor,
    wanted: Sequence[bool],
    channels: Sequence[int],
    theta_x: Sequence[float],
    theta_y: Sequence[float],
    normalization: Sequence[int],
    iterations: int,
    untied: bool,
) -> tuple[Tensor, ...]:
    shapes = gradient_shapes(grad, len(channels), iterations if untied else 0)
    return tuple(grad.new_empty(shape if needed else (0,)) for shape, needed in zip(shapes, wanted))


def gradient_shapes(grad: Tensor, kernels: int, sets: int = 0) -> tuple[Sequence[int], ...]:
    """Of unary, q0, weights and compatibility; sets: of parameters if iterations are untied, else 0."""
    matrix = (*([sets] if sets else []), grad.shape[1], grad.shape[1])
    return tuple(grad.shape), tuple(grad.shape), (kernels, *matrix), matrix


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    _, _, features, _, compatibility, _, theta_x, theta_y, _, normalization, iterations, *_ = inputs
    ctx.kernels = len(features)
    ctx.others = len(inputs) - 5  # without a gradient, after compatibility
    ctx.call = ([f.shape[1] for f in features], theta_x, theta_y, normalization, iterations, compatibility.ndim == 3)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    (state,) = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = [needs[0], needs[1], needs[3], needs[4]]
    results = mean_field_backward_op(grad, state, wanted, *ctx.call)
    d_unary, d_q0, d_weights, d_compatibility = (d if needed else None for d, needed in zip(results, wanted))
    return (d_unary, d_q0, [None] * ctx.kernels, d_weights, d_compatibility, *[None] * ctx.others)


mean_field_op.register_autograd(_gradients, setup_context=_save)


class _EagerMeanField(torch.autograd.Function):
    """The operator called without torch.library, whose first call imports torch's compiler: a second and more."""

    @staticmethod
    def forward(
        ctx: Any, unary: Tensor, q0: Tensor, weights: Tensor, compatibility: Tensor, features: list[Tensor], *rest: Any
    ) -> Tensor:
        inputs = (unary, q0, features, weights, compatibility, *rest)
        output = mean_field_on_cpu(*inputs)
        _save(ctx, inputs, output)
        return output[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        (state,) = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:4])
        results = mean_field_backward_on_cpu(grad, state, wanted, *ctx.call)
        return (*(d if needed else None for d, needed in zip(results, wanted)), None, *[None] * ctx.others)


def run_mean_field(
    unary: Tensor, q0: Tensor, features: list[Tensor], weights: Tensor, compatibility: Tensor, *rest: Any
) -> Tensor:
    """The scores by the operator, or the same without torch.library where nobody could tell the difference."""
    inputs = (unary, q0, weights, compatibility)
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in (*inputs, *features))
    if (
        plain
        and unary.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
    ):
        return _EagerMeanField.apply(*inputs, features, *rest)
    return mean_field_op(unary, q0, features, weights, compatibility, *rest)[0]


@torch.library.custom_op("crfasrnn::permutohedral_filter", mutates_args=(), device_types="cpu", schema=FILTER_SCHEMA)
def filter_op(values: Tensor, features: Tensor, reverse: bool) -> Tensor:
    """The filter of values (N, C) at features (N, d), or its transpose."""
    values = values.detach().contiguous()
    out = torch.empty_like(values)
    _core.permutohedral_filter(values, features.detach().contiguous(), out, reverse, torch.get_num_threads())
    return out


@filter_op.register_fake
def _(values: Tensor, features: Tensor, reverse: bool) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _save_features(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.reverse = inputs[2]


def _filter_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (features,) = ctx.saved_tensors
    return filter_op(grad, features, not ctx.reverse), None, None


filter_op.register_autograd(_filter_gradient, setup_context=_save_features)
