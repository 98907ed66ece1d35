"""Small calls of every job of the CUDA layer, to be watched by compute-sanitizer (`make gpu`): python tests/sanitize_cuda.py

Not a pytest module: under the sanitizer a run takes minutes, and its findings are the sanitizer's exit status.
"""

from __future__ import annotations

import torch

from crfasrnn.crf.functional import Kernel, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.options import NORMALIZATIONS


def draw(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64).to(
        "cuda", dtype
    )


def both_passes(classes: int, height: int, width: int, normalization: str, dtype: torch.dtype) -> None:
    """Forward and backward with a position, an image and a shared kernel of one channel, and a mask."""
    kernels = [
        Kernel(2.0, None, 1.0, normalization),
        Kernel(4.0, draw(2, 3, height, width, dtype=dtype) * 20, 15.0, normalization),
        Kernel(None, draw(1, 1, height, width, dtype=dtype), 0.7, normalization),
    ]
    unary = draw(2, classes, height, width, dtype=dtype).requires_grad_()
    matrices = [(draw(classes, classes, dtype=dtype) / classes).requires_grad_() for _ in range(4)]
    mask = draw(2, height, width, dtype=dtype) > -0.5
    out = mean_field_kernels(unary, unary, kernels, matrices[:3], matrices[3], iterations=2, mask=mask)
    torch.autograd.grad(out.sum(), [unary, *matrices])


def main() -> None:
    for dtype in (torch.float32, torch.float64):
        for classes, normalization in zip((1, 5, 21, 130), NORMALIZATIONS):
            both_passes(classes, 9, 11, normalization, dtype)
        for dimension in (1, 7, 16, 32):
            permutohedral_filter(draw(60, 11, dtype=dtype), draw(60, dimension, dtype=dtype))
        # A flat image: one vertex has the entries of all pixels, in pieces.
        flat = torch.zeros(1, 3, 40, 50, device="cuda", dtype=dtype)
        unary = draw(1, 21, 40, 50, dtype=dtype)
        eye = torch.eye(21, device="cuda", dtype=dtype)
        mean_field_kernels(unary, unary, [Kernel(1e4, flat, 1.0)], [eye], -eye, iterations=1)
        # The paper's two kernels, with pixels outside.
        paper, mask = [Kernel(3.0), Kernel(160.0, flat, 3.0)], draw(1, 40, 50, dtype=dtype) > -0.5
        mean_field_kernels(unary, unary, paper, [eye, eye], -eye, iterations=2, mask=mask)
    torch.cuda.synchronize()
    print("ran")


if __name__ == "__main__":
    main()
