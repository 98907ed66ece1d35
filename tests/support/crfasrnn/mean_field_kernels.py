"""Inputs for mean_field_kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def kernels_example(
    batch: int, classes: int, *grid: int, kernels: int = 3
) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Random unary, q0, full weights and a full compatibility in float64."""
    rng = torch.Generator().manual_seed(sum(grid))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    weights = [torch.eye(classes).double() + 0.3 * draw(classes, classes) for _ in range(kernels)]
    compatibility = -torch.eye(classes).double() + 0.3 * draw(classes, classes)
    return draw(batch, classes, *grid), draw(batch, classes, *grid), weights, compatibility


def channels(batch: int, count: int, *grid: int) -> Tensor:
    rng = torch.Generator().manual_seed(batch + count)
    return torch.rand(batch, count, *grid, generator=rng, dtype=torch.float64) * 5
