"""Inputs for mean_field, and what to compare its results with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfasrnn.crf.functional import mean_field

THETAS = {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0}


def image_features(image: Tensor, theta_alpha: float, theta_beta: float, theta_gamma: float) -> tuple[Tensor, Tensor]:
    """Spatial (pixels, 2) and bilateral (pixels, 2 + K) features of one image (K, H, W)."""
    y, x = torch.meshgrid(torch.arange(image.shape[1]), torch.arange(image.shape[2]), indexing="ij")
    position = torch.stack([x.flatten(), y.flatten()], 1).to(image.dtype)
    colour = image.flatten(1).T
    return position / theta_gamma, torch.cat([position / theta_alpha, colour / theta_beta], 1)


def example(
    batch: int = 1, classes: int = 3, height: int = 6, width: int = 7, channels: int = 3, **options: Any
) -> tuple[list[Tensor], Tensor]:
    """Random [unary, q0, spatial, bilateral, compatibility] with full asymmetric matrices, and an image."""
    rng = torch.Generator().manual_seed(batch + 10 * classes + 100 * height + 1000 * width)
    options = {"generator": rng, "dtype": torch.float64} | options
    inputs = [
        torch.randn(batch, classes, height, width, **options),
        torch.randn(batch, classes, height, width, **options),
        torch.eye(classes, dtype=options["dtype"]) * 2 + torch.randn(classes, classes, **options) * 0.3,
        torch.eye(classes, dtype=options["dtype"]) * 3 + torch.randn(classes, classes, **options) * 0.3,
        -torch.eye(classes, dtype=options["dtype"]) + torch.randn(classes, classes, **options) * 0.3,
    ]
    return inputs, torch.rand(batch, channels, height, width, **options) * 60


def run(inputs: Sequence[Tensor], image: Tensor, iterations: int = 3, **thetas: float) -> Tensor:
    unary, q0, *weights = inputs
    return mean_field(unary, q0, image, *weights, iterations=iterations, **(THETAS | thetas))


def with_gradients(
    inputs: Sequence[Tensor], image: Tensor, iterations: int = 3, **thetas: float
) -> tuple[Tensor, list[Tensor]]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out = run(leaves, image, iterations, **thetas)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out.detach(), list(torch.autograd.grad(out, leaves, weights))


def error(actual: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(actual.detach().numpy() - expected).max() / max(float(np.abs(expected).max()), 1e-30))
