"""Photographs that everybody may use, which come with scikit-image: what demonstrations show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import skimage.data

# cat: CC0 (Stefan van der Walt); astronaut: public domain (NASA); coffee: CC0 (Rachel Michetti); camera: CC0 (Lav Varshney);
# motorcycle: of Scharstein et al., High-resolution stereo datasets, GCPR 2014, who let everybody use and publish their images.
_PHOTOGRAPHS: dict[str, Callable[[], np.ndarray]] = {
    "cat": skimage.data.cat,
    "astronaut": skimage.data.astronaut,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "coffee": skimage.data.coffee,
    "camera": skimage.data.camera,
}


def sample_photographs() -> dict[str, np.ndarray]:
    """The photographs by name, each H x W x 3 uint8 BGR."""
    return {name: _bgr(photograph()) for name, photograph in _PHOTOGRAPHS.items()}


def _bgr(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))
