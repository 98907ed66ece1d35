"""Check an installed crfasrnn as its first user would, and print what took how long.

    python scripts/check_install.py [--without-compiler]

In a folder of its own, with nothing of the checkout: segments a photograph that scikit-image ships with the bundled model, imports
caffe and runs a script of pydensecrf's. Exit status 1 where something fails.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import skimage.data

COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "clang++", "cl", "clang-cl", "nvcc")
CAT = 8  # of VOC's classes

WHERE = "import caffe, crfasrnn._core; print(caffe.__file__, crfasrnn._core.__file__)"
DENSE_CRF = """
import numpy as np, skimage.data
import crfasrnn.densecrf as dcrf
from crfasrnn.utils import unary_from_softmax
image = skimage.data.chelsea()
height, width = image.shape[:2]
crf = dcrf.DenseCRF2D(width, height, 2)
sure = np.linspace(0.2, 0.8, width)
crf.setUnaryEnergy(unary_from_softmax(np.broadcast_to(np.stack([sure, 1 - sure])[:, None], (2, height, width)).copy()))
crf.addPairwiseGaussian(sxy=3, compat=3)
crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=10)
labels = np.argmax(crf.inference(5), axis=0).reshape(height, width)
assert labels[:, :50].all() and not labels[:, -50:].any(), labels
"""


def timed(what: str, *arguments: str) -> str:
    """Run this Python with the arguments in the current folder; returns what it printed."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    print(f"{what}: {time.monotonic() - begin:.1f} s")
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-compiler", action="store_true", help="fail where a compiler is on PATH")
    found = [name for name in COMPILERS if shutil.which(name)]
    if parser.parse_args().without_compiler and found:
        raise SystemExit(f"compilers on PATH: {found}")
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        try:
            check()
        finally:
            os.chdir(before)  # Windows removes no folder that somebody is in
    print(f"crfasrnn works here: Python {platform.python_version()}, {platform.platform()}")


def check() -> None:
    checkout = Path(__file__).resolve().parent.parent
    files = timed("import caffe and crfasrnn's core", "-c", WHERE).split()
    if any(Path(file).resolve().is_relative_to(checkout / "python") for file in files):
        raise SystemExit(f"this is the checkout, not an installed package: {files}")
    cv2.imwrite("photo.jpg", skimage.data.chelsea()[..., ::-1])
    print(timed("crfasrnn segment photo.jpg", "-m", "crfasrnn", "segment", "photo.jpg").strip())
    labels = cv2.imread("segmented/photo_labels.png", cv2.IMREAD_UNCHANGED)
    overlay = cv2.imread("segmented/photo_overlay.png")
    if labels.shape[:2] != (300, 451) or overlay.shape[1] < 451:
        raise SystemExit(f"sizes: {labels.shape}, {overlay.shape}")
    share = (labels == CAT).mean() if labels.ndim == 2 else (labels == (0, 0, 64)).all(axis=2).mean()
    print(f"cat: {share:.0%} of the photograph")
    if not 0.6 < share < 0.95:
        raise SystemExit("the cat was not found")
    timed("a dense CRF", "-c", DENSE_CRF)


if __name__ == "__main__":
    main()
