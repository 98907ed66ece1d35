"""Label maps in MATLAB 5 files ("MAT-File Format", MathWorks, level 5): full arrays of numbers, alone or in a struct.

scipy.io.loadmat reads the same, but allocates whatever a damaged file promises and can end the process.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe.errors import FileError
from caffe.inputs.limits import MAX_MATLAB
from caffe.inputs.reading import read_bytes

_HEADER = 128
_MATRIX, _COMPRESSED, _INT32 = 14, 15, 5  # types of data elements
_STRUCT, _FIRST_NUMBER, _LAST_NUMBER = 2, 6, 15  # classes of arrays
_COMPLEX = 0x800
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


def read_label_map(path: Path, variable: str, highest: int, field: str | None = None) -> np.ndarray:
    """The H x W array `variable`, or its field `field` if it is a struct, as int64 labels of 0 to `highest`.

    Raises CaffeError if the file cannot be read, is damaged, has no such array, or that holds other numbers.
    """
    try:
        array = _find(read_bytes(path, MAX_MATLAB), variable)
        values = (array if field is None else array.field(field)).numbers()
    except FileError:
        raise
    except OSError as problem:
        raise FileError(f"cannot read {str(path)!r}: {problem.strerror}") from problem
    except (ValueError, struct.error, zlib.error) as problem:
        raise FileError(f"{str(path)!r} is not the MATLAB 5 file that was expected: {problem}") from problem
    if values.ndim != 2 or not values.size:
        raise FileError(f"{str(path)!r}: expected a label map of H x W, found an array of {values.shape}")
    bad = ~np.isin(values, np.arange(highest + 1))
    if bad.any():
        raise FileError(
            f"{str(path)!r}: the label map holds {values[bad][0]}, which is not one of the labels 0 to {highest}"
        )
    return values.astype(np.int64)


@dataclass(frozen=True)
class _Array:
    """One array of any class: its name, dimensions, and the data elements that follow these."""

    name: str
    kind: int
    dimensions: tuple[int, ...]
    parts: list[tuple[int, bytes]]
    order: str

    @staticmethod
    def parse(content: bytes, order: str) -> _Array:
        parts = _elements(content, order)
        if len(parts) < 3 or len(parts[0][1]) != 8 or parts[1][0] != _INT32 or not 8 <= len(parts[1][1]) <= 128:
            raise ValueError("an array without flags, dimensions or name")
        flags = struct.unpack_from(order + "I", parts[0][1])[0]
        if flags & _COMPLEX:
            raise ValueError("an array of complex numbers")
        dimensions = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
        return _Array(parts[2][1].decode("latin-1"), flags & 0xFF, dimensions, parts[3:], order)

    def numbers(self) -> np.ndarray:
        """The values, in MATLAB's shape."""
        if not _FIRST_NUMBER <= self.kind <= _LAST_NUMBER or not self.parts or self.parts[0][0] not in _NUMBERS:
            raise ValueError(f"{self.name or 'the field'!r} is not a full array of numbers")
        stored, content = self.parts[0]
        dtype = np.dtype(self.order + _NUMBERS[stored])
        if min(self.dimensions) < 0 or math.prod(self.dimensions) * dtype.itemsize != len(content):
            raise ValueError(f"an array of {self.dimensions} numbers in {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(self.dimensions, order="F")

    def field(self, name: str) -> _Array:
        """The array in a field of this struct, which must be a single one."""
        if self.kind != _STRUCT or math.prod(self.dimensions) != 1 or len(self.parts) < 2 or len(self.parts[0][1]) != 4:
            raise ValueError(f"{self.name!r} is not a struct")
        length = struct.unpack(self.order + "i", self.parts[0][1])[0]
        text = self.parts[1][1]
        starts = range(0, len(text), length) if length > 0 else ()
        names = [text[start : start + length].split(b"\0")[0].decode("latin-1") for start in starts]
        arrays = self.parts[2:]
        if name not in names or names.index(name) >= len(arrays) or arrays[names.index(name)][0] != _MATRIX:
            raise ValueError(f"{self.name!r} has no field {name!r}")
        return _Array.parse(arrays[names.index(name)][1], self.order)


def _find(data: bytes, variable: str) -> _Array:
    if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError(
            "no MATLAB 5 header" + (" (a version 7.3 file? save it with -v7)" if b"HDF" in data[:1024] else "")
        )
    order = "<" if data[126:128] == b"IM" else ">"
    left = MAX_MATLAB
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            content = inflate.decompress(content, left + 1)
            left -= len(content)
            if left < 0:
                raise ValueError(f"its variables unpack to more than {MAX_MATLAB} bytes")
            kind, content = next(iter(_elements(content, order)), (0, b""))
        if kind == _MATRIX:
            array = _Array.parse(content, order)
            if array.name == variable:
                return array
    raise ValueError(f"it has no array {variable!r}")


def _elements(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """The data elements that follow each other: (type, content)."""
    found, at = [], 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # a small element: type and size share a word, the content follows in the next
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError("a small element has more than 4 bytes")
        else:
            start, end = at + 8, at + 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError(f"an element promises {size} bytes where {len(data) - start} are left")
        found.append((kind, data[start : start + size]))
        at = end
    return found
