"""Scores and labels for losses."""

from __future__ import annotations

import torch


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (2, 3, 4, 5), and labels of which two are 255."""
    generator = torch.Generator().manual_seed(1)
    scores = 3 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0, 0] = labels[1, 3, 2] = 255
    return scores.to(dtype), labels
