#!/usr/bin/env python3
"""Segment three photographs that scikit-image ships with the bundled model: python scripts/demo.py [--output out/demo]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import skimage.data

from caffe.files import atomic_path
from crfasrnn.cli import main as crfasrnn

# cat: CC0 (Stéfan van der Walt); astronaut: public domain (NASA); camera: CC0 (Lav Varshney).
PHOTOGRAPHS = ("cat", "astronaut", "camera")


def main() -> int:
    """Write the photographs, then run `crfasrnn segment` on them as a user would."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="folder for the pictures (default: out/demo)"
    )
    output = parser.parse_args().output
    photographs = output / "photographs"
    photographs.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in PHOTOGRAPHS:
        image = getattr(skimage.data, name)()
        paths.append(photographs / f"{name}.png")
        with atomic_path(paths[-1]) as temporary:
            cv2.imwrite(str(temporary), image[..., ::-1] if image.ndim == 3 else image)
    return crfasrnn(["segment", *map(str, paths), "--output", str(output)])


if __name__ == "__main__":
    sys.exit(main())
