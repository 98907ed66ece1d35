#!/usr/bin/env python3
"""Segment three photographs that scikit-image ships with the bundled model: python scripts/demo.py [--output out/demo]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from crfasrnn.cli import main as crfasrnn
from crfasrnn.images import write_image

# cat: CC0 (Stefan van der Walt); astronaut: public domain (NASA); camera: CC0 (Lav Varshney).
PHOTOGRAPHS = ("cat", "astronaut", "camera")
SHEET_HEIGHT = 300


def sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """The pictures side by side, BGR, SHEET_HEIGHT pixels high."""
    widths = [round(picture.shape[1] * SHEET_HEIGHT / picture.shape[0]) for picture in pictures]
    scaled = [cv2.resize(p, (w, SHEET_HEIGHT), interpolation=cv2.INTER_AREA) for p, w in zip(pictures, widths)]
    return np.hstack(scaled)


def main() -> int:
    """Write the photographs, run `crfasrnn segment` on them as a user would, and lay all pictures on one sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="folder for the pictures (default: out/demo)"
    )
    output = parser.parse_args().output
    (output / "photographs").mkdir(parents=True, exist_ok=True)
    paths = []
    for name in PHOTOGRAPHS:
        image = np.ascontiguousarray(
            getattr(skimage.data, name)()[..., ::-1] if name != "camera" else skimage.data.camera()
        )
        paths.append(output / "photographs" / f"{name}.png")
        write_image(paths[-1], image)
    status = crfasrnn(["segment", *map(str, paths), "--output", str(output)])
    if status == 0:
        overlays = [output / f"{name}_overlay.png" for name in PHOTOGRAPHS]
        shown = [cv2.imread(str(path)) for pair in zip(paths, overlays) for path in pair]
        write_image(output / "sheet.jpg", sheet(shown))
        print(f"All pictures side by side: {output / 'sheet.jpg'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
