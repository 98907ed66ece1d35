"""Calls of the CUDA source's build for the host, and of the CPU's operator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from crfasrnn.crf import operator_cuda as cuda_op
from crfasrnn.crf.call import Call

core: Any = pytest.importorskip(
    "crfasrnn._cuda_host", reason="only editable installs build the CUDA source for the host: pip install -e ."
)


ALL = [True] * 4


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def arguments(
    batch: int,
    classes: int,
    height: int,
    width: int,
    normalization: int = 2,
    mask: bool = False,
    dtype: torch.dtype = torch.float32,
    keep_state: bool = True,
    iterations: int = 3,
    activation: int = 0,
) -> list[Any]:
    """Of the operator: a spatial, a bilateral and a kernel of one channel that the batch shares; full random matrices."""
    like: dict[str, Any] = {"dtype": dtype}
    image = draw(batch, 3, height, width, seed=1, **like) * 20
    depth = draw(1, 1, height, width, seed=2, **like)
    features = [image.new_empty(1, 0, height, width), image, depth]
    scale = 1 / classes**0.5
    weights, mu = draw(3, classes, classes, seed=3, **like) * scale, draw(classes, classes, seed=4, **like) * scale
    taken = draw(batch, height, width, seed=5) > -0.5 if mask else None
    unary, q0 = draw(batch, classes, height, width, seed=6, **like), draw(batch, classes, height, width, seed=7, **like)
    thetas = [2.0, 8.0, 0.0], [3.0, 8.0, 0.0], [1.0, 15.0, 0.1]
    how = [[normalization] * 3, iterations, keep_state, activation, 0.0, 0.0]
    return [unary, q0, features, weights, mu, taken, *thetas, *how]


def both_passes(args: list[Any], grad: Tensor | None = None) -> list[Tensor]:
    """Scores and all gradients by the host's build."""
    scores, state, _ = cuda_op.forward(core, Call(*args))
    grad = draw(*scores.shape, seed=8, dtype=scores.dtype) if grad is None else grad
    return [scores, *cuda_op.backward(core, Call(*args).gradient_call()._replace(grad=grad, state=state, wanted=ALL))]
