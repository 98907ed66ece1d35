"""Wrong arguments: one error that names the argument and says what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.crfasrnn.mean_field import THETAS, example, run
from torch import Tensor


def replaced(index: int, tensor: Tensor) -> list[Tensor]:
    inputs, _ = example()
    inputs[index] = tensor
    return inputs


@pytest.mark.parametrize(
    ("inputs", "image", "message"),
    [
        (example()[0], torch.zeros(1, 3, 6, 8).double(), r"\(1, 3, 6, 8\) but unary \(1, 3, 6, 7\): height and width"),
        (example()[0], torch.zeros(2, 3, 6, 7).double(), r"\(2, 3, 6, 7\) but unary \(1, 3, 6, 7\): there must be one"),
        (example()[0], torch.zeros(3, 6, 7).double(), "image must be"),
        (example()[0], torch.zeros(1, 31, 6, 7).double(), "1 to 30 channels"),
        (example()[0], torch.zeros(1, 3, 6, 7), r"use image.to\(unary.dtype\)"),
        (replaced(0, torch.zeros(3, 6, 7).double()), example()[1], r"unary must be \(N, C, H, W\)"),
        (replaced(1, torch.zeros(1, 3, 6, 8).double()), example()[1], r"q0 has shape \(1, 3, 6, 8\) but unary"),
        (replaced(2, torch.zeros(3).double()), example()[1], r"spatial_weights has shape \(3,\).*\(1, 1, 3, 3\)"),
        (replaced(3, torch.zeros(4, 4).double()), example()[1], r"bilateral_weights has shape \(4, 4\)"),
        (replaced(4, torch.zeros(1, 3, 3).double()), example()[1], r"compatibility has shape \(1, 3, 3\)"),
        (replaced(0, torch.zeros(1, 3, 6, 7, device="meta")), example()[1], "on a CPU or CUDA device"),
        (example()[0], torch.full((1, 3, 6, 7), torch.nan).double(), "NaN or infinite"),
        (example()[0], torch.full((1, 3, 6, 7), torch.inf).double(), "NaN or infinite"),
    ],
)
def test_shape_errors(inputs: list[Tensor], image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(inputs, image)


@pytest.mark.parametrize("iterations", [0, -1, 1.5, float("inf"), 10_001, 2**31, 2**32 - 1])
def test_iterations_must_be_positive(iterations: Any) -> None:
    inputs, image = example()
    with pytest.raises(ValueError, match="iterations must be an integer of 1 to 10000"):
        run(inputs, image, iterations=iterations)


@pytest.mark.parametrize("name", list(THETAS))
@pytest.mark.parametrize("value", [0.0, -3.0, float("nan"), float("inf")])
def test_thetas_must_be_positive(name: str, value: float) -> None:
    inputs, image = example()
    with pytest.raises(ValueError, match=f"{name} must be finite and greater than 0"):
        run(inputs, image, **{name: value})


def test_tiny_thetas_say_what_is_wrong() -> None:
    inputs, image = example()
    with pytest.raises(ValueError, match="use larger standard deviations"):
        run(inputs, image, theta_beta=1e-12)
