"""Types of the compiled core. Arrays are C-contiguous numpy arrays or CPU tensors, all of one dtype; none is copied."""

from typing import Any

class MeanFieldState32:
    @property
    def nbytes(self) -> int: ...
    def backward(
        self,
        top_diff: Any,
        unary: Any | None,
        q0: Any | None,
        weights: Any | None,
        compatibility: Any | None,
        threads: int,
    ) -> None: ...

class MeanFieldState64(MeanFieldState32): ...

class KernelSource32:
    """What one kernel compares; features (N or 1, d, H, W), theta_x = theta_y = 0 for no position."""

    def __init__(
        self, features: Any | None, theta_x: float, theta_y: float, theta: float, normalization: int
    ) -> None: ...

class KernelSource64(KernelSource32): ...

class GaussianKernel32:
    """A kernel made beforehand, for many calls on one image."""

    def __init__(self, source: KernelSource32, height: int, width: int, threads: int) -> None: ...
    @property
    def vertices(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def filter(self, values: Any, out: Any, transpose: bool, threads: int) -> None: ...

class GaussianKernel64(GaussianKernel32): ...

def permutohedral_filter(values: Any, features: Any, out: Any, reverse: bool, threads: int) -> None: ...
def mean_field_forward(
    unary: Any,
    q0: Any,
    kernels: list[Any],
    weights: Any,
    compatibility: Any,
    mask: Any | None,
    out: Any,
    iterations_run: Any | None,
    iterations: int,
    activation: int,
    keep_state: bool,
    threads: int,
    min_probability: float,
    tolerance: float,
) -> MeanFieldState32 | None: ...
