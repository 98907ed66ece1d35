"""Pictures in place of a data set, for the other examples: discs and squares before a ground, each kind in a colour of its own."""

from __future__ import annotations

import torch
from torch import Tensor

COLOURS = torch.tensor([[0.35, 0.45, 0.35], [0.75, 0.35, 0.25], [0.25, 0.35, 0.75]])
"""Of label 0 (ground), 1 (disc), 2 (square), RGB."""


def batch(count: int, seed: int, height: int = 64, width: int = 64) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) RGB of 0 to 1 and their labels (N, H, W); a disc and a square are on three of four each."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    labels = torch.zeros(count, height, width, dtype=torch.long)
    for one in labels:
        for label in (1, 2):
            centre = torch.rand(2, generator=rng) * torch.tensor([height, width])
            dy, dx = (y - centre[0]).abs(), (x - centre[1]).abs()
            size = (0.12 + 0.14 * torch.rand((), generator=rng)) * min(height, width)
            if torch.rand((), generator=rng) < 0.75:
                one[dy.square() + dx.square() < size**2 if label == 1 else torch.maximum(dy, dx) < size] = label
    noise = 0.06 * torch.randn(count, 3, height, width, generator=rng)
    return (COLOURS[labels].movedim(3, 1) + noise).clamp(0, 1), labels
