"""What a process keeps of the sizes that its nets have had, and how it lets go of them."""

from __future__ import annotations

import os

from caffe.files import system

# torch and its oneDNN keep what they made for the sizes of convolutions that they met, each some tens of KiB, 1024 by default. Both
# read their bound once, when they make the first; half of it still holds all that a training step of a deep net uses.
for _bound in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(_bound, "512")


def give_back_freed_memory() -> None:
    """Hand what was freed back to the system, where the C library can (glibc); costs some milliseconds.

    For use after the first pass with a new size: blobs do not fit the holes that those of other sizes left behind, and with
    photographs of random sizes a process grows by about 1 MiB each without it.
    """
    trim = system.of_c("malloc_trim")
    if trim is not None:
        trim(0)
