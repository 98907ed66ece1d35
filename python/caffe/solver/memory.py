"""How the process's memory goes back to the system."""

from __future__ import annotations

from caffe.files import system

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 1 << 20  # bytes


def return_large_blocks() -> None:
    """Have freed blocks of 1 MiB and more go back to the system at once, in this process from now on.

    glibc otherwise keeps blocks of up to 32 MiB, and a net's maps of all sizes leave holes between them that nothing fits into.
    Does nothing where the C library is another one.
    """
    mallopt = system.of_c("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
