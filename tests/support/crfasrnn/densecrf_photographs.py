"""Dense CRFs on photographs of PASCAL VOC's list val. As a program, with pydensecrf2, numpy and OpenCV installed, it records

python tests/densecrf_photographs.py VOC2012/JPEGImages tests/data/densecrf/photographs.npz

the marginals that pydensecrf2 computes at some pixels of each (it imports nothing of this project).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

PHOTOGRAPHS = ("2007_000033", "2007_000061", "2007_000129", "2007_000332", "2007_000559", "2007_000629")
# (kernel type, normalisation): CONST, DIAG, FULL; NO, BEFORE, AFTER, SYMMETRIC.
MODES = [(kernel, normalization) for kernel in range(3) for normalization in range(4)]
# Potts, diagonal and full, one after the other, so that each meets each kernel type and each normalisation.
COMPATIBILITIES = (
    np.float32(3),
    -np.array([1, 2, 3], np.float32),
    -np.array([[1, 0.2, 0.3], [0.2, 1, 0.1], [0.3, 0.1, 2]], np.float32),
)


def marginals(module: Any, image: np.ndarray, kernel: int, normalization: int) -> np.ndarray:
    """Q (3, H W) of an image (H, W, 3) uint8 after three iterations, by `module` (pydensecrf.densecrf or its like)."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (30 + 7 * c)) + np.cos(y / (25 + 9 * c)) + 0.7 * rng.normal(size=x.shape) for c in range(3)]
    # Without normalisation the filter's responses are sums over thousands of pixels.
    options = {
        "compat": COMPATIBILITIES[(kernel + normalization) % 3] * np.float32(1 if normalization else 0.002),
        "kernel": module.KernelType(kernel),
        "normalization": module.NormalizationType(normalization),
    }
    crf = module.DenseCRF2D(width, height, 3)
    crf.setUnaryEnergy(np.stack(waves).reshape(3, -1).astype(np.float32))
    crf.addPairwiseGaussian(sxy=3, **options)
    crf.addPairwiseBilateral(sxy=(60, 50), srgb=(10, 12, 14), rgbim=np.ascontiguousarray(image), **options)
    return np.array(crf.inference(3))


def record(photographs: Path, output: Path) -> None:
    """Write name -> (modes, 3, pixels) float32 and name_pixels -> their places."""
    import cv2
    import pydensecrf.densecrf

    arrays: dict[str, np.ndarray] = {}
    for name in PHOTOGRAPHS:
        image = cv2.imread(str(photographs / f"{name}.jpg"))
        pixels = np.sort(np.random.default_rng(2).choice(image.shape[0] * image.shape[1], 200, replace=False))
        results = [marginals(pydensecrf.densecrf, image, *mode)[:, pixels] for mode in MODES]
        arrays[name], arrays[f"{name}_pixels"] = np.stack(results), pixels
    np.savez_compressed(output, **arrays)


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
