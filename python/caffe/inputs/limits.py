"""How much a file may ask of us. What it promises is compared with these numbers before memory is taken for it.

They are far above what training and published data sets need, and low enough that no small file, whatever it says, takes more
than about a gigabyte.
"""

from __future__ import annotations

MAX_PIXELS = 80_000_000
"""Of one image, label map or mask."""

MAX_IMAGE_FILE = 1 << 29
"""Bytes of an image file."""

MAX_IMAGE_SET = 1 << 28
"""Bytes of a file of MNIST or CIFAR-10; the largest has 47 MB."""

MAX_DATUM = 1 << 28
"""Bytes of one entry of a database."""

MAX_LIST = 1 << 29
"""Bytes of a list of images, windows or HDF5 files, one a line."""

MAX_TEXT = 1 << 26
"""Bytes of any other text: prototxts, classes, settings."""

MAX_ANNOTATIONS = 1 << 30
"""Bytes of a data set's annotations in one file; COCO's instances_train2014.json has 0.45 GB."""

MAX_MATLAB = 1 << 24
"""Bytes of a MATLAB file, and of all that it unpacks to; SBD's and Context's have well under 1 MB."""

MAX_ITERATIONS = 10_000
"""Of the mean field; the paper's networks do 5 to 10."""

_UNPACKED, _RATIO = 1 << 28, 250


def unpacked(stored: int) -> int:
    """How many bytes the arrays in a compressed file of `stored` bytes may have in all: 256 MB, in large files 250 times theirs.

    Photographs, scores and weights shrink to a half at best, label maps to a hundredth.
    """
    return max(_UNPACKED, _RATIO * stored)
