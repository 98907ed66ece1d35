"""OpenCV, whichever of its packages is installed: modules take `cv2` from here.

A package cannot ask for "this or that one", and two of them overwrite each other's files. So crfasrnn depends on none, and here
is said what to install."""

from __future__ import annotations

from caffe.errors import CaffeError

OLDEST = (4, 7)


class OpenCvError(CaffeError, ImportError):
    """OpenCV is not there, or cannot be loaded."""


try:
    import cv2 as cv2
except ModuleNotFoundError as problem:
    raise OpenCvError(
        "OpenCV is missing: pip install opencv-python, or opencv-python-headless on a machine without a screen (not both)"
    ) from problem
except ImportError as problem:
    raise OpenCvError(
        f"OpenCV is installed but cannot be loaded ({problem}): on a machine without a screen, "
        "pip uninstall opencv-python, then pip install --force-reinstall opencv-python-headless"
    ) from problem

if tuple(int(number) for number in cv2.__version__.split(".")[:2]) < OLDEST:
    raise OpenCvError(f"OpenCV is of version {cv2.__version__}; {'.'.join(map(str, OLDEST))} or newer is needed")
