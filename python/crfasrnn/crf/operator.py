"""The torch operators crfasrnn::mean_field and crfasrnn::permutohedral_filter: CPU, fake tensors, autograd; CUDA in operator_cuda.

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
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfasrnn import _core
from crfasrnn.crf.call import DIFFERENTIABLE, GRADIENT_SCHEMA, SCHEMA, Call, GradientCall

FILTER_SCHEMA = "(Tensor values, Tensor features, bool reverse) -> Tensor"

STATE_IS_GONE = (
    "the state of this mean_field call is gone: its saved tensor was copied (by a saved-tensor hook such as "
    "torch.autograd.graph.save_on_cpu?), and a copy does not carry it; or torch.jit.trace recorded the call, and what it "
    "records is inference alone"
)


class _Once(torch.autograd.Function):
    """The identity on a gradient, and an error where it is differentiated with respect to what it depends on."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *depends_on: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        raise NotImplementedError(
            "CRF inference can be differentiated by autograd once, and this asks for a derivative of its gradient: "
            "torch.func.grad, hessian and jvp give it (with the iterations unrolled in torch, several times slower)"
        )


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward whose gradients raise an error where they are differentiated.

    ctx.saved_tensors ends with tensors by which the inputs are reached. torch's own once_differentiable reaches only the incoming
    gradient: for a loss that is linear in the scores, second derivatives with it are zero in silence.
    """

    @wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with torch.no_grad():
            results = backward(ctx, *grads)
        if not torch.is_grad_enabled():
            return results
        depends_on = [t for t in (*grads, *ctx.saved_tensors) if isinstance(t, Tensor)]
        return tuple(_Once.apply(r, *depends_on) if isinstance(r, Tensor) else r for r in results)

    return once


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


Results = tuple[Tensor, Tensor, Tensor]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor]


def forward_on_cpu(call: Call) -> Results:
    """Scores (N, C, H, W), the carrier of the state, and how many iterations each image took (N), int64."""
    source = _core.KernelSource32 if call.unary.dtype == torch.float32 else _core.KernelSource64
    kernels = [
        source(f.detach().contiguous(), x, y, t, n)
        for f, x, y, t, n in zip(call.features, call.theta_x, call.theta_y, call.theta, call.normalization)
    ]
    scores, w, mu = (values.detach().contiguous() for values in (call.unary, call.weights, call.compatibility))
    # Usually Q0 is the scores: one copy of a view of larger maps, as a crop leaves it, will do for both.
    start = scores if _is_same(call.q0, call.unary) else call.q0.detach().contiguous()
    if not call.untied:
        w, mu = w[:, None], mu[None]
    out = torch.empty_like(scores)
    taken = None if call.mask is None else call.mask.contiguous().view(torch.uint8)
    threads, keep = torch.get_num_threads(), call.keep_state
    run = torch.empty(len(scores), dtype=torch.int64)
    state = _core.mean_field_forward(
        scores, start, kernels, w, mu, taken, out, run, call.iterations, call.activation, keep, threads,
        call.min_probability, call.tolerance,
    )  # fmt: skip
    return out, torch.zeros(1, dtype=torch.uint8) if state is None else _carrier(state), run


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape and dtype are views of the same values."""
    return a.data_ptr() == b.data_ptr() and a.stride() == b.stride()


def backward_on_cpu(call: GradientCall) -> Gradients:
    """The gradients of a forward_on_cpu, in the order of DIFFERENTIABLE; those that are not wanted are empty."""
    owner = _states.get(call.state.data_ptr())
    if owner is None:
        raise RuntimeError(STATE_IS_GONE)
    grad = call.grad.contiguous()
    results = _wanted(call, lambda shape: torch.empty(shape, dtype=grad.dtype))
    unary, q0, weights, compatibility = (d if needed else None for d, needed in zip(results, call.wanted))
    if not call.untied:
        weights = None if weights is None else weights[:, None]
        compatibility = None if compatibility is None else compatibility[None]
    owner.state.backward(grad, unary, q0, weights, compatibility, torch.get_num_threads())
    return results


def _wanted(call: GradientCall, new: Callable[[tuple[int, ...]], Tensor]) -> Gradients:
    """A new tensor for each gradient, empty for those that are not wanted."""
    unary, q0, weights, compatibility = (
        new(shape if needed else (0,)) for shape, needed in zip(call.shapes(), call.wanted)
    )
    return unary, q0, weights, compatibility


@torch.library.custom_op("crfasrnn::mean_field", mutates_args=(), device_types="cpu", schema=SCHEMA)
def mean_field_op(*arguments: Any) -> Results:
    """The fields of a Call to scores, state and numbers of iterations."""
    return forward_on_cpu(Call(*arguments))


@mean_field_op.register_fake
def _(*arguments: Any) -> Results:
    unary = Call(*arguments).unary
    scores = torch.empty_like(unary, memory_format=torch.contiguous_format)
    return scores, unary.new_empty(1, dtype=torch.uint8), unary.new_empty(len(unary), dtype=torch.int64)


@torch.library.custom_op("crfasrnn::mean_field_backward", mutates_args=(), device_types="cpu", schema=GRADIENT_SCHEMA)
def mean_field_backward_op(*arguments: Any) -> Gradients:
    """The fields of a GradientCall to the gradients."""
    return backward_on_cpu(GradientCall(*arguments))


@mean_field_backward_op.register_fake
def _(*arguments: Any) -> Gradients:
    call = GradientCall(*arguments)
    return _wanted(call, call.grad.new_empty)


def _save(ctx: Any, call: Call, output: Results, root: Tensor | None = None) -> None:
    ctx.save_for_backward(output[1], root)
    ctx.call = call.gradient_call()
    ctx.mark_non_differentiable(*output[1:])


def _gradients(
    ctx: Any, grad: Tensor, needs: Sequence[bool], compute: Callable[[GradientCall], Gradients]
) -> list[Any]:
    """Those of DIFFERENTIABLE, None where they are not needed."""
    state, _ = ctx.saved_tensors
    results = compute(ctx.call._replace(grad=grad, state=state, wanted=list(needs)))
    return [d if needed else None for d, needed in zip(results, needs)]


@differentiable_once
def _library_gradients(ctx: Any, grad: Tensor, *_: Any) -> tuple[Any, ...]:
    needs = [ctx.needs_input_grad[Call._fields.index(name)] for name in DIFFERENTIABLE]
    found = dict(zip(DIFFERENTIABLE, _gradients(ctx, grad, needs, lambda call: mean_field_backward_op(*call))))
    # A list of tensors wants a list of gradients.
    return tuple([None] * len(ctx.call.channels) if name == "features" else found.get(name) for name in Call._fields)


mean_field_op.register_autograd(
    _library_gradients, setup_context=lambda ctx, inputs, output: _save(ctx, Call(*inputs), output)
)

# What computes on tensors of a type of device, forward and backward. operator_cuda adds "cuda".
KERNELS: dict[str, tuple[Callable[[Call], Results], Callable[[GradientCall], Gradients]]] = {
    "cpu": (forward_on_cpu, backward_on_cpu)
}


class _EagerMeanField(torch.autograd.Function):
    """The operator called without torch.library, whose first call imports torch's compiler: a second and more."""

    @staticmethod
    def forward(ctx: Any, call: Call, root: Tensor | None, *differentiable: Tensor) -> tuple[Tensor, Tensor]:
        """root: see _root. differentiable: the call's own tensors, which autograd sees only as arguments."""
        ctx.device = call.unary.device.type
        output = KERNELS[ctx.device][0](call)
        _save(ctx, call, output, root)
        return output[0], output[2]

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:  # type: ignore[override]
        return (None, None, *_gradients(ctx, grad, ctx.needs_input_grad[2:], KERNELS[ctx.device][1]))


def _root(tensors: Sequence[Tensor]) -> Tensor:
    """No elements, and in autograd's graph a child of all the tensors: reaches them without keeping their memory."""
    return torch.cat([tensor.reshape(-1)[:0] for tensor in tensors])


def is_recorded() -> bool:
    """Whether torch records its operators, by compiler, tracer or dispatch mode: what is computed beside them would be lost."""
    return bool(torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack())


def run_mean_field(call: Call) -> tuple[Tensor, Tensor]:
    """Scores and numbers of iterations by the operator, or by the same without torch.library where nobody could tell."""
    inputs = [getattr(call, name) for name in DIFFERENTIABLE]
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in (*inputs, *call.features))
    if plain and call.unary.device.type in KERNELS and not is_recorded():
        results: tuple[Tensor, Tensor] = _EagerMeanField.apply(
            call, _root(inputs) if call.keep_state else None, *inputs
        )
        return results
    scores, _, run = mean_field_op(*call)
    return scores, run


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
