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
        spatial_weights: Any | None,
        bilateral_weights: Any | None,
        compatibility: Any | None,
        threads: int,
    ) -> None: ...

class MeanFieldState64(MeanFieldState32): ...

def permutohedral_filter(values: Any, features: Any, out: Any, reverse: bool, threads: int) -> None: ...
def mean_field_forward(
    unary: Any,
    q0: Any,
    image: Any,
    spatial_weights: Any,
    bilateral_weights: Any,
    compatibility: Any,
    out: Any,
    iterations: int,
    theta_alpha: float,
    theta_beta: float,
    theta_gamma: float,
    keep_state: bool,
    threads: int,
) -> MeanFieldState32 | None: ...
