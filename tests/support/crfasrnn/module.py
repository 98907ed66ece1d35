"""Scenes for the module CrfRnn."""

from __future__ import annotations

import torch
from torch import Tensor

from crfasrnn import CrfRnn


def scene(classes: int = 4, height: int = 9, width: int = 11, batch: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, height, width, generator=rng) * 20
    return torch.randn(batch, classes, height, width, generator=rng), image


def randomised(crf: CrfRnn) -> CrfRnn:
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
    return crf
