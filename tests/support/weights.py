"""VGG-16's trunk with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crfasrnn.networks import vgg


def write_trunk(path: Path) -> dict[str, np.ndarray]:
    """Random weights for VGG-16's convolutions, in the form that `crfasrnn model convert` reads; returns them."""
    rng = np.random.default_rng(0)
    arrays, channels = {}, 3
    for block, widths in enumerate(vgg.BLOCKS, 1):
        for index, width in enumerate(widths, 1):
            scale = np.sqrt(2 / (9 * channels))
            arrays[f"conv{block}_{index}_w"] = (scale * rng.standard_normal((width, channels, 3, 3))).astype(np.float16)
            arrays[f"conv{block}_{index}_b"] = rng.standard_normal(width).astype(np.float16)
            channels = width
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return arrays
