"""Memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from caffe.solver.memory import return_large_blocks

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
SIZE = 16 << 20

def block(size):
    address = libc.malloc(size)
    libc.memset(address, 1, size)
    return address

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1:]:
    return_large_blocks()
libc.free(block(SIZE))  # glibc then takes such blocks from its heap
before = held()
large = block(SIZE)
small = [block(1 << 10) for _ in range(1000)]  # which keep the heap from shrinking
assert held() - before > SIZE // 2
libc.free(large)
print((held() - before) / SIZE)
"""


def left(*arguments: str) -> float:
    """The share of a freed block that a process still holds."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_blocks_go_back_though_the_heap_does_not_shrink() -> None:
    assert left("return them") < 0.2
    assert left() > 0.8
