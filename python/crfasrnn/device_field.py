"""Kernels and mean field of crfasrnn.densecrf on a device of PyTorch: numpy arrays in and out, float32 in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from caffe.errors import CaffeError
from crfasrnn.crf import operator_cuda, options
from crfasrnn.crf.functional import Kernel, mean_field_kernels

Array = npt.NDArray[Any]


def cuda_device(device: Any) -> torch.device:
    """The CUDA device of that name.

    Raises:
        ValueError: it is the name of no device, or of one that is neither a CPU nor a CUDA device.
        CaffeError: PyTorch finds no such CUDA device, or this installation was built without CUDA.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f'device must be "cpu" or a CUDA device as "cuda" or "cuda:1", got {device!r}') from None
    if found.type != "cuda":
        raise ValueError(f'device must be "cpu" or a CUDA device as "cuda" or "cuda:1", got {device!r}')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (found.index or 0) >= count:
        raise CaffeError(f'Cannot use device "{found}": PyTorch finds {count} CUDA device(s). Use device="cpu".')
    operator_cuda.load_core()
    return found


class DeviceField:
    """Gaussian kernels over a grid, and mean field with them, on one device.

    Args:
        device: where to compute.
        labels: C.
        grid: (H, W).
    """

    def __init__(self, device: torch.device, labels: int, grid: tuple[int, int]) -> None:
        self._device = device
        self._shape = (1, labels, *grid)
        self._kernels: list[Kernel] = []
        self._weights: list[Tensor] = []
        self._eye = torch.eye(labels, device=device)

    def add(self, features: Array | None, theta: tuple[float, float], normalization: int, energies: Array) -> None:
        """Add a kernel over features (1, d, H, W), in standard deviations, and the position, where its theta (x, y) is not 0.

        Raises ValueError for features that are NaN or infinite, and for no or too many of them.
        """
        position = theta if any(theta) else None
        count = (0 if features is None else features.shape[1]) + (2 if position else 0)
        if not 1 <= count <= options.DIMENSIONS:
            raise ValueError(
                f"a kernel must have 1 to {options.DIMENSIONS} features, the position included, got {count}"
            )
        if features is not None and not np.isfinite(features).all():
            raise ValueError("the features hold NaN or infinite values: all must be finite")
        planes = None if features is None else self._there(features)
        self._kernels.append(Kernel(position, planes, normalization=options.NORMALIZATIONS[normalization]))
        self._weights.append(self._there(energies))

    def mean_field(self, scores: Array, iterations: int) -> Array:
        """Scores (C, H * W) after so many iterations, at least 1, from these; there must be a kernel.

        Raises ValueError for features too large to be resolved.
        """
        unary = self._there(scores)
        return self._back(unary, unary, self._kernels, self._weights, self._eye, iterations, "softmax")

    def filter(self, k: int, q: Array) -> Array:
        """K_k(q) for probabilities q (C, H * W), without the energies; raises as mean_field."""
        # An iteration from no unary whose activation, max(0, q), leaves probabilities as they are.
        rows = self._there(q)
        none = torch.zeros_like(rows)
        return self._back(none, rows, [self._kernels[k]], [self._eye], -self._eye, 1, "relu")

    def _back(
        self,
        unary: Tensor,
        q0: Tensor,
        kernels: list[Kernel],
        weights: list[Tensor],
        compatibility: Tensor,
        iterations: int,
        activation: str,
    ) -> Array:
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            top = mean_field_kernels(
                unary.reshape(self._shape),
                q0.reshape(self._shape),
                kernels,
                weights,
                compatibility,
                iterations=iterations,
                activation=activation,
            )
        scores: Array = top.cpu().numpy().reshape(self._shape[1], -1)
        if np.isnan(scores).any():  # how a CUDA device tells; see crfasrnn.crf.operator_cuda
            raise ValueError(
                "the features are too many standard deviations from the origin to be resolved: use larger standard "
                "deviations, or shift the features towards zero"
            )
        return scores

    def _there(self, values: Array) -> Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)
