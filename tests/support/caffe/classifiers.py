"""The CIFAR-10 model of genuine Caffe, and photographs."""

from __future__ import annotations

import numpy as np

from support.reference_data import shared_path

# CIFAR-10's own mean colour, RGB.
MEAN = np.array([125.3, 123.0, 113.9])


def model() -> tuple[str, str]:
    folder = shared_path("caffemodels", "cifar_v2")
    return str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")


def photographs(count: int) -> list[str]:
    folder = shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages")
    return [str(path) for path in sorted(folder.glob("*.jpg"))[:count]]
