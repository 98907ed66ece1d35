"""The operators crfasrnn::mean_field and crfasrnn::permutohedral_filter on CUDA tensors.

Everything runs on the current stream of the tensors' device. A call allocates its results, one block of workspace and, where a
gradient is wanted, one block of state from torch's caching allocator; nothing else is allocated, and nothing waits for the
device, so calls may be captured into CUDA graphs. The state is a tensor of one byte whose storage is the whole block: autograd
and compiled graphs keep it, and with it the storage, like any other tensor.

What the host cannot see without waiting it does not check: features that are NaN, infinite or too large make the scores of their
image NaN. `crfasrnn.crf.operator_cuda.checked = True`, or CRFASRNN_CUDA_CHECK=1 in the environment, raises the CPU's ValueError
instead, at the price of waiting for the device in every call.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any

import torch
from torch import Tensor

from caffe.errors import CaffeError
from crfasrnn.crf import operator
from crfasrnn.crf.call import DIFFERENTIABLE, Call, GradientCall

checked = os.environ.get("CRFASRNN_CUDA_CHECK", "0") not in ("", "0")

_HALF = (torch.float16, torch.bfloat16)
# By the Status of caffe_layers/include/crfrnn/cuda/mean_field.hpp.
_COMPLAINTS = {
    1: "has features that are NaN or infinite: all must be finite",
    2: "has features too many standard deviations from the origin to be resolved: use larger standard deviations (theta), "
    "shift the features towards zero, or use float64",
}


def load_core() -> Any:
    """The compiled module for CUDA devices.

    Raises:
        CaffeError: this installation was built without CUDA.
    """
    try:
        return importlib.import_module("crfasrnn._cuda")
    except ImportError as error:
        raise CaffeError(
            f"crfasrnn was built without CUDA ({error}): install the CUDA toolkit (nvcc 11.8 or newer on PATH) and run "
            "pip install --force-reinstall --no-deps --config-settings=cmake.define.CRFRNN_CUDA=ON . in the source folder, "
            "or move the tensors to the CPU"
        ) from None


def forward(core: Any, call: Call) -> operator.Results:
    """Scores, state and numbers of iterations, by the compiled module `core`: all, since an end would have to be waited for."""
    unary = call.unary
    run = torch.full((len(unary),), call.iterations, dtype=torch.int64, device=unary.device)
    scores, start, w, mu, *channels = map(
        _prepared, (*(getattr(call, name) for name in DIFFERENTIABLE), *call.features)
    )
    if not unary.shape[0]:
        return torch.empty_like(unary, memory_format=torch.contiguous_format), _bytes(unary, 1), run
    taken = None if call.mask is None else call.mask.contiguous()
    top = torch.empty_like(scores)
    status = torch.empty(len(scores), dtype=torch.int32, device=unary.device)
    kernels = [
        (f.data_ptr(), f.shape[1], f.shape[0] == 1, x, y, t, n)
        for f, x, y, t, n in zip(channels, call.theta_x, call.theta_y, call.theta, call.normalization)
    ]
    sets = len(call.compatibility) if call.untied else 1  # of parameters
    with _device(unary) as stream:
        field = _typed(core, "Field", scores)(*scores.shape, call.iterations, kernels, sets, call.activation)
        state_bytes, work_bytes = field.forward_memory(call.keep_state)
        state, work = _bytes(unary, state_bytes), _bytes(unary, work_bytes)
        kept = state if call.keep_state else None
        field.forward(*map(_address, (scores, start, taken, w, mu, top, status, kept, work)), stream)
    _complain(status)
    return top.to(unary.dtype), state[:1], run


def backward(core: Any, call: GradientCall) -> operator.Gradients:
    """The gradients of a forward, in the order of DIFFERENTIABLE; those that are not wanted are empty.

    The activation is part of the state.
    """
    grad, wanted = call.grad, call.wanted
    diff = _prepared(grad)
    results = [diff.new_empty(shape if needed else (0,)) for shape, needed in zip(call.shapes(), wanted)]
    if not grad.shape[0]:
        return tuple(result.zero_().to(grad.dtype) for result in results)  # type: ignore[return-value]
    kernels = [
        (0, d, False, x, y, 1.0, n) for d, x, y, n in zip(call.channels, call.theta_x, call.theta_y, call.normalization)
    ]
    with _device(grad) as stream:
        sets = call.iterations if call.untied else 1
        field = _typed(core, "Field", diff)(*diff.shape, call.iterations, kernels, sets, 0)
        state_bytes, _ = field.forward_memory(True)
        if call.state.untyped_storage().nbytes() < state_bytes:
            raise RuntimeError(operator.STATE_IS_GONE)
        work = _bytes(grad, field.backward_memory(bool(wanted[2] or wanted[3])))
        targets = (result if needed else None for result, needed in zip(results, wanted))
        field.backward(*map(_address, (call.state, diff, *targets, work)), stream)
    return tuple(result.to(grad.dtype) for result in results)  # type: ignore[return-value]


def permutohedral_filter(core: Any, values: Tensor, features: Tensor, reverse: bool) -> Tensor:
    """The filter of values (N, C) at features (N, d), or its transpose."""
    rows, at = _prepared(values), _prepared(features)
    out = torch.empty_like(rows)
    status = torch.empty(1, dtype=torch.int32, device=values.device)
    sizes = (*at.shape, rows.shape[1])
    with _device(values) as stream:
        work = _bytes(values, _typed(core, "filter_memory", rows)(*sizes))
        run = _typed(core, "permutohedral_filter", rows)
        run(*map(_address, (rows, at, out, status)), *sizes, reverse, work.data_ptr(), stream)
    _complain(status)
    return out.to(values.dtype)


@operator.mean_field_op.register_kernel("cuda")
def _(*arguments: Any) -> operator.Results:
    return forward(load_core(), Call(*arguments))


@operator.mean_field_backward_op.register_kernel("cuda")
def _(*arguments: Any) -> operator.Gradients:
    return backward(load_core(), GradientCall(*arguments))


operator.KERNELS["cuda"] = (lambda call: forward(load_core(), call), lambda call: backward(load_core(), call))


@operator.filter_op.register_kernel("cuda")
def _(values: Tensor, features: Tensor, reverse: bool) -> Tensor:
    return permutohedral_filter(load_core(), values, features, reverse)


def _prepared(tensor: Tensor) -> Tensor:
    """What the core reads: contiguous, half precision as float32."""
    tensor = tensor.detach().contiguous()
    return tensor.float() if tensor.dtype in _HALF else tensor


def _typed(core: Any, name: str, like: Tensor) -> Any:
    return getattr(core, name + ("32" if like.dtype == torch.float32 else "64"))


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _bytes(like: Tensor, count: int) -> Tensor:
    return torch.empty(max(count, 1), dtype=torch.uint8, device=like.device)


@contextlib.contextmanager
def _device(tensor: Tensor) -> Any:
    """Makes the tensor's device the current one; gives the address of its current stream."""
    if tensor.device.type != "cuda":
        yield 0  # the core's build for the host
        return
    with torch.cuda.device(tensor.device):
        yield torch.cuda.current_stream().cuda_stream


def _complain(status: Tensor) -> None:
    if not checked:
        return
    for image, code in enumerate(status.tolist()):
        if code:
            raise ValueError(f"image {image} of the batch {_COMPLAINTS[code]}")
