"""Small files in the formats of MNIST and CIFAR-10, written byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_idx(path: Path, array: np.ndarray) -> Path:
    """An IDX file of bytes: two zeros, 8 for bytes, the number of axes, their lengths, big-endian, and the values."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + b"".join(struct.pack(">i", length) for length in array.shape)
    path.write_bytes(header + b"".join(struct.pack("B", value) for value in array.ravel().tolist()))
    return path


def write_mnist(
    folder: Path, counts: dict[str, int], size: tuple[int, int] = (28, 28)
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """<part>-images-idx3-ubyte and <part>-labels-idx1-ubyte in a new folder; returns {part: (images, labels)}."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    made = {}
    for part, count in counts.items():
        images, labels = random.integers(0, 256, (count, *size)), random.integers(0, 10, count)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
        made[part] = images, labels
    return made


def write_cifar(folder: Path, count: int) -> tuple[list[bytes], list[bytes]]:
    """The six files of CIFAR-10's binary version with `count` images each; returns the records for training and for testing."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    train: list[bytes] = []
    test: list[bytes] = []
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = [bytes([int(random.integers(10))]) + random.bytes(3072) for _ in range(count)]
        (folder / name).write_bytes(b"".join(records))
        (test if name.startswith("test") else train).extend(records)
    return train, test
