"""Process-wide compute state, as Caffe's singleton holds it: CPU or GPU mode, the device and the random generators.

torch is imported where something is to be computed, so that command lines know these words without waiting for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from caffe.errors import CaffeError

if TYPE_CHECKING:
    import torch

TRAIN = 0
TEST = 1
PRECISIONS = ("float32", "bf16")


def _compute_alone() -> None:
    """In a child made by fork, where torch would wait for ever for the threads of its OpenMP, which stayed in the parent."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_alone)

_device: torch.device | None = None  # the CPU, before anybody asks
_gpu_id = 0
_half_convolutions = False
# Set to 1 in the environment, lets commands go on with a weights file of which no layer fits.
GO_ON = "CAFFE_ALLOW_NO_WEIGHTS"
_insisting = ContextVar("insisting", default=False)
_generators: dict[torch.device, torch.Generator] = {}


def set_mode_cpu() -> None:
    """Compute on the CPU from now on."""
    global _device
    _device = None


def set_mode_gpu() -> None:
    """Compute on the current CUDA device from now on, in full float32. Raises CaffeError where PyTorch finds none.

    This switches TF32 off in PyTorch, whose convolutions otherwise round their inputs to 10 bits of mantissa, as Caffe never did;
    who wants that speed sets torch.backends.cudnn.allow_tf32 behind this call.
    """
    import torch

    global _device
    if not torch.cuda.is_available():
        raise CaffeError(
            "Cannot use GPU: this PyTorch finds no CUDA device. Use solver_mode: CPU, leave out -gpu, or install a CUDA build."
        )
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    _device = torch.device("cuda", _gpu_id)


def set_device(gpu_id: int) -> None:
    """Choose the CUDA device that GPU mode uses. Raises CaffeError for a device that does not exist."""
    import torch

    from caffe.inputs.arguments import integer

    global _gpu_id, _device
    gpu_id = integer("gpu_id", gpu_id, -(2**31))
    count = torch.cuda.device_count()
    if not 0 <= gpu_id < count:
        raise CaffeError(f"Cannot use GPU device {gpu_id}: PyTorch finds {count} CUDA device(s).")
    _gpu_id = gpu_id
    if device().type == "cuda":
        _device = torch.device("cuda", gpu_id)


def device() -> torch.device:
    """The torch device that layers compute on."""
    global _device
    if _device is None:
        import torch

        _device = torch.device("cpu")
    return _device


def uses_gpu() -> bool:
    """Whether layers compute on a CUDA device."""
    return _device is not None and _device.type == "cuda"


def check_precision(name: str) -> None:
    """Raises CaffeError unless it is one of PRECISIONS."""
    if name not in PRECISIONS:
        raise CaffeError(f"precision is one of {', '.join(PRECISIONS)}, not {name!r}")


def dtype(precision: str) -> torch.dtype:
    """The torch dtype of a precision. Raises CaffeError for an unknown one.

    >>> import caffe.mode
    >>> caffe.mode.dtype("bf16")
    torch.bfloat16
    """
    import torch

    check_precision(precision)
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within it, "bf16" lets wide convolutions multiply in bfloat16 and sum in float32, forward and backward; else "float32".

    Parameters, blobs and all other layers stay float32 (mixed precision: 1.5 to 3 times as fast where the processor has bfloat16
    products). Raises CaffeError for another name.
    """
    global _half_convolutions
    check_precision(name)
    before = _half_convolutions
    _half_convolutions = name == "bf16"
    try:
        yield
    finally:
        _half_convolutions = before


def half_convolutions() -> bool:
    """Whether wide convolutions multiply in bfloat16."""
    return _half_convolutions


@contextmanager
def insisting_on_weights() -> Iterator[None]:
    """Within it, and in this thread, a weights file of which no layer fits the net is an error, as it is in our commands.

    pycaffe, and so Net everywhere else, goes on with lines in the log.
    """
    token = _insisting.set(True)
    try:
        yield
    finally:
        _insisting.reset(token)


def insists_on_weights() -> bool:
    """Whether a file of which no layer fits is an error: within insisting_on_weights(), but if CAFFE_ALLOW_NO_WEIGHTS is 1."""
    return _insisting.get() and os.environ.get(GO_ON) != "1"


def set_random_seed(seed: int) -> None:
    """Seed every draw that layers, fillers and data transformations make. seed: an integer of 64 bits."""
    import torch

    from caffe.inputs.arguments import integer

    seed = integer("seed", seed, -(2**63), 2**64 - 1)
    for generator in _generators.values():
        generator.manual_seed(seed)
    _generators.clear()
    _seeded_generator(torch.device("cpu")).manual_seed(seed)
    if device().type != "cpu":
        _seeded_generator(device()).manual_seed(seed)


def generator(on: torch.device | None = None) -> torch.Generator:
    """The random generator of a device (default: the CPU), seeded from the system until set_random_seed is called."""
    import torch

    return _seeded_generator(on or torch.device("cpu"))


def _seeded_generator(on: torch.device) -> torch.Generator:
    if on not in _generators:
        import torch

        _generators[on] = torch.Generator(device=on)
        _generators[on].seed()
    return _generators[on]
