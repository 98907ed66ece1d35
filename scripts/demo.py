#!/usr/bin/env python3
"""Segment photographs that scikit-image ships, with and without the CRF: python scripts/demo.py [--output out/demo]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from caffe.files import make_folder
from caffe.logs.ending import ended
from crfasrnn.commands.main import main as crfasrnn
from crfasrnn.demo.samples import sample_photographs
from crfasrnn.pictures.photographs import write_image
from crfasrnn.segmentation.models import DEFAULT, find_model, resource_folder

SHEET_WIDTH = 340
TITLE_HEIGHT = 24


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture, SHEET_WIDTH pixels wide, below a line of text, BGR."""
    height = round(picture.shape[0] * SHEET_WIDTH / picture.shape[1])
    line = np.full((TITLE_HEIGHT, SHEET_WIDTH, 3), 255, np.uint8)
    cv2.putText(line, title, (2, TITLE_HEIGHT - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([line, cv2.resize(picture, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)])


def sheet(pictures: list[list[np.ndarray]]) -> np.ndarray:
    """Rows of pictures of one width, BGR, on white."""
    rows = []
    for row in pictures:
        high = max(len(picture) for picture in row) + 8
        rows.append([np.pad(p, ((0, high - len(p)), (0, 8), (0, 0)), constant_values=255) for p in row])
    return np.vstack([np.hstack(row) for row in rows])


def main() -> int:
    """Write the photographs, run `crfasrnn segment` on them as a user would, and lay all pictures on one sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="folder for the pictures (default: out/demo)"
    )
    output = parser.parse_args().output
    make_folder(output / "photographs")
    paths = []
    for name, photograph in sample_photographs().items():
        paths.append(output / "photographs" / f"{name}.png")
        write_image(paths[-1], photograph)
    images, alone, model = [str(path) for path in paths], output / "network_alone", find_model(DEFAULT)
    # The same weights, without the last layer.
    network = str(resource_folder("prototxt") / "deeplab" / "deeplab_deploy.prototxt")
    without_crf = ["--model", network, "--weights", str(model.weights), "--size", str(model.size)]
    print("DeepLabv3 on MobileNetV2, the network beneath the CRF:")
    status = crfasrnn(["segment", *images, *without_crf, "--output", str(alone)])
    if status == 0:
        print("DeepLabv3 on MobileNetV2 + CRF-RNN:")
        status = crfasrnn(["segment", *images, "--output", str(output)])
    if status == 0:
        rows = []
        for path in paths:
            overlay = f"{path.stem}_overlay.png"
            found = {"photograph": path, "network alone": alone / overlay, "with CRF-RNN": output / overlay}
            rows.append([titled(cv2.imread(str(file)), title) for title, file in found.items()])
        write_image(output / "sheet.jpg", sheet(rows))
        print(f"All pictures side by side: {output / 'sheet.jpg'}")
    return status


if __name__ == "__main__":
    sys.exit(ended(main, lambda sentence: print(f"error: {sentence}", file=sys.stderr)))
