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
SHEET_WIDTH = 340


def sheet(pictures: list[list[np.ndarray]]) -> np.ndarray:
    """Columns of pictures, each SHEET_WIDTH pixels wide, BGR, on white."""
    columns = []
    for column in pictures:
        heights = [round(picture.shape[0] * SHEET_WIDTH / picture.shape[1]) for picture in column]
        scaled = [cv2.resize(p, (SHEET_WIDTH, h), interpolation=cv2.INTER_AREA) for p, h in zip(column, heights)]
        columns.append(np.vstack(scaled))
    high = max(len(column) for column in columns)
    padded = [np.pad(c, ((0, high - len(c)), (0, 8), (0, 0)), constant_values=255) for c in columns]
    return np.hstack(padded)


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
        shown = [[cv2.imread(str(p)) for p in (path, output / f"{path.stem}_overlay.png")] for path in paths]
        write_image(output / "sheet.jpg", sheet(shown))
        print(f"All pictures side by side: {output / 'sheet.jpg'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
