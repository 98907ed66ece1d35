"""MATLAB 5 files from strangers: checked for sizes that they cannot hold before scipy reads them.

scipy allocates what the file promises. Here every compressed element is expanded up to a bound, and the dimensions of every
array in it are compared with the bytes that follow (MAT-File Format, MathWorks, "Level 5 MAT-File Format").
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError

MAX_BYTES = (
    128 << 20
)  # of a file, and of what its compressed elements expand to; SBD's and Context's have well under 1 MB
_MAX_DEPTH = 16
_HEADER = 128
_MATRIX, _COMPRESSED, _INT32 = 14, 15, 5
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _LAST_NUMBER = 1, 2, 3, 4, 5, 15


def read_mat(path: Path, name: str) -> np.ndarray:
    """The variable `name` of a MATLAB 5 file, as scipy.io.loadmat gives it.

    Raises CaffeError if the file cannot be read, is damaged or has no such variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        if path.stat().st_size > MAX_BYTES:
            raise CaffeError(f"{str(path)!r} has more than {MAX_BYTES} bytes, too many for a label map")
        data = path.read_bytes()
    except OSError as problem:
        raise CaffeError(f"cannot read {str(path)!r}: {problem.strerror}") from problem
    try:
        variables = loadmat(io.BytesIO(_expanded(data)), variable_names=[name])
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        struct.error,
        zlib.error,
        MatReadError,
    ) as problem:
        raise CaffeError(f"{str(path)!r} is no MATLAB 5 file, or damaged: {problem}") from problem
    except (MemoryError, NotImplementedError, OSError, AttributeError) as problem:  # scipy's for other damage
        raise CaffeError(f"{str(path)!r} is damaged: {problem}") from problem
    if not isinstance(variables.get(name), np.ndarray):
        found = ", ".join(sorted(key for key in variables if not key.startswith("__"))) or "none"
        raise CaffeError(f"{str(path)!r} has no array {name!r} (found: {found})")
    result: np.ndarray = variables[name]
    return result


def label_array(value: Any, highest: int, path: Path) -> np.ndarray:
    """`value` as H x W int64 labels of 0 to `highest`, or CaffeError naming the file."""
    if not isinstance(value, np.ndarray) or value.ndim != 2 or not value.size or value.dtype.kind not in "uif":
        found = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise CaffeError(f"{str(path)!r}: expected a label map of H x W integers, found {found}")
    bad = ~np.isin(value, np.arange(highest + 1))
    if bad.any():
        raise CaffeError(
            f"{str(path)!r}: the label map holds {value[bad][0]}, which is none of the labels 0 to {highest}"
        )
    return value.astype(np.int64)


def _expanded(data: bytes) -> bytes:
    """The file with its elements uncompressed; raises ValueError if sizes in it cannot be true."""
    if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError(
            "no MATLAB 5 header" + (" (a version 7.3 file? save it with -v7)" if b"HDF" in data[:1024] else "")
        )
    order = "<" if data[126:128] == b"IM" else ">"
    result = bytearray(data[:_HEADER])
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            expanded = inflate.decompress(content, MAX_BYTES - len(result))
            if inflate.unconsumed_tail:
                raise ValueError(f"it expands to more than {MAX_BYTES} bytes")
            for inner_kind, inner in _elements(expanded, order):
                result += _checked(inner_kind, inner, order)
        else:
            result += _checked(kind, content, order)
    return bytes(result)


def _checked(kind: int, content: bytes, order: str) -> bytes:
    if kind != _MATRIX:
        raise ValueError(f"it holds an element of type {kind} beside its variables")
    _check_matrix(content, order, 0)
    return struct.pack(order + "II", _MATRIX, len(content)) + content


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


def _check_matrix(content: bytes, order: str, depth: int) -> None:
    """Raise ValueError if an array of any kind promises more elements than it has bytes."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"arrays lie more than {_MAX_DEPTH} deep in each other")
    if not content:
        return
    parts = _elements(content, order)
    if len(parts) < 3 or len(parts[0][1]) < 4 or parts[1][0] != _INT32:
        raise ValueError("an array without flags, dimensions or name")
    kind = struct.unpack_from(order + "I", parts[0][1])[0] & 0xFF
    if not _CELL <= kind <= _LAST_NUMBER:
        raise ValueError(f"an array of type {kind}")
    dimensions = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
    count = 1
    for size in dimensions:
        count *= size
    if len(dimensions) > 32 or min(dimensions, default=0) < 0 or (kind != _SPARSE and count > len(content)):
        raise ValueError(f"an array of {dimensions} elements in {len(content)} bytes")
    if kind == _SPARSE and max(dimensions) > MAX_BYTES:
        raise ValueError(f"a sparse array of {dimensions} elements")
    for inner_kind, inner in parts[3:]:
        if inner_kind == _MATRIX:
            _check_matrix(inner, order, depth + 1)
