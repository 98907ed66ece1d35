"""Arguments that no program means to give, and fitting ones bent a little."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe.proto import caffe_pb2

_DTYPES = [
    "bool",
    "int8",
    "uint16",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "object",
    "U3",
    "S2",
    "M8[s]",
]
_SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (3,), (0, 3), (3, 0, 2), (2, 3), (1, 1, 1), (4, 5, 3), (1, 2, 6, 7), (1, 3, 6, 7), (2, 1, 1, 1, 1), (1,) * 33,
]  # fmt: skip
_TORCH = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
_PLAIN: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 255, 256, 1000, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, -(2**63), 10**30,
        10**400,
    0.0, -0.0, 0.5, 1.5, -2.5, 1e-45, 1e300, float("nan"), float("inf"), float("-inf"), 1j, Fraction(1, 3),
    "", "x", "data", "a\0b", "\udc80", "é", "/nowhere/x", "http://127.0.0.1:9/a.png", "%s%n{0}", "9" * 5000, b"",
        b"data",
    b"\xff\xfe", Path("nowhere"), (), [], {}, set(), [None], ["x"], [[]], [[1], [1, 2]], (1, 2, 3), [1, -1], [float("nan")] * 4,
    {"dim": [1]}, {"x": None}, {1: 2}, range(5), slice(None), Ellipsis, NotImplemented, object(), type, len, int, np, np.float32,
    np.int64(3), np.float32(2.5), np.float64("nan"), np.bool_(True), np.datetime64("2020-01-01"),
]  # fmt: skip


class Hostile:
    """Says that it is a number, an array or a sequence, and then fails."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def _fail(self, *_: object, **__: object) -> Any:
        raise self._error("hostile")

    __float__ = __index__ = __int__ = __len__ = __iter__ = __getitem__ = __array__ = __fspath__ = __bool__ = _fail


def array(rng: random.Random) -> Any:
    """An array of any kind: empty, huge without memory, of strings, not contiguous, read-only, ..."""
    shape = rng.choice(_SHAPES)
    made = np.zeros(shape, rng.choice(_DTYPES))
    kind = rng.randrange(10)
    if kind == 0:
        return np.broadcast_to(
            np.uint8(1), rng.choice([(65536, 65536), (65536, 65536, 3), (2**31,), (2**20, 2**20, 3)])
        )
    if kind == 1:
        return np.full(shape, rng.choice([np.nan, np.inf, -np.inf, 1e38, -1, 1e300]))
    if kind == 2 and made.ndim:
        return np.repeat(made, 2, 0)[::-2]
    if kind == 3:
        return np.asfortranarray(made)
    if kind == 4:
        made.flags.writeable = False
    if kind == 5:
        return np.ma.masked_all(shape)
    if kind == 6:
        return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (rng.choice([3, 65536]), 65536), (0, 0))
    return made


def tensor(rng: random.Random) -> Any:
    """A tensor of any kind: without memory, without storage, with a gradient, sparse, ..."""
    shape = rng.choice(_SHAPES[:-1])
    kind = rng.randrange(9)
    if kind == 0:
        return torch.zeros(()).expand(rng.choice([(65536, 65536), (1, 2, 65536, 65536), (2**31,)]))
    if kind == 1:
        return torch.empty(shape, device="meta")
    if kind == 2:
        return torch.zeros(shape).to_sparse()
    if kind == 3:
        return torch.full(shape, rng.choice([float("nan"), float("inf"), 1e38, -1e38]))
    if kind == 4:
        return torch.zeros(shape, requires_grad=True)
    if kind == 5:
        return torch.zeros((*shape, 2)).transpose(0, -1)
    if kind == 6:
        return torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.quint8)
    return torch.zeros(shape, dtype=rng.choice(_TORCH))


def anything(rng: random.Random) -> Any:
    """A value of any kind."""
    kind = rng.randrange(12)
    if kind <= 5:
        return rng.choice(_PLAIN)
    if kind <= 7:
        return array(rng)
    if kind == 8:
        return tensor(rng)
    if kind == 9:
        return [anything(rng) for _ in range(rng.choice([1, 2, 3, 4]))]
    if kind == 10:
        return Hostile(rng.choice([ValueError, TypeError, OverflowError]))
    return rng.choice(
        [
            caffe_pb2.NetParameter(),
            caffe_pb2.Datum(channels=2**31 - 1),
            caffe_pb2.BlobProto(),
            (x for x in "ab"),
            Recursive,
        ]
    )


Recursive: list[Any] = []
Recursive.append(Recursive)


def _bent_array(rng: random.Random, value: np.ndarray) -> Any:
    changes: list[Callable[[], Any]] = [
        lambda: value[None], lambda: value[..., None], lambda: value[:0], lambda: value[..., :0], lambda: value.T,
            lambda: value[::-1],
        lambda: value.astype(rng.choice(_DTYPES[:8])), lambda: value.astype(object), lambda: value.tolist(), lambda: value[0],
        lambda: np.asfortranarray(value), lambda: np.where(np.arange(value.size).reshape(value.shape) == 1, np.nan, value),
        lambda: value - 5.0, lambda: value * 1e38, lambda: np.broadcast_to(value[:1], value.shape),
            lambda: torch.from_numpy(value),
        lambda: value.ravel(), lambda: value.astype(np.float64) * rng.choice([np.inf, -np.inf, np.nan]),
            lambda: value.view(np.matrix),
    ]  # fmt: skip
    return rng.choice(changes)()


def _bent_tensor(rng: random.Random, value: torch.Tensor) -> Any:
    changes: list[Callable[[], Any]] = [
        lambda: value[None], lambda: value[..., None], lambda: value[:0], lambda: value[..., :0], lambda: value.mT,
            lambda: value.numpy(),
        lambda: value.to(rng.choice(_TORCH)), lambda: value * float("nan"), lambda: value - float("inf"), lambda: value * 1e38,
        lambda: value.to("meta"), lambda: value.to_sparse(), lambda: value[:1].expand(value.shape), lambda: value.flatten(),
        lambda: value.clone().requires_grad_() if value.is_floating_point() else value, lambda: value.tolist(),
        lambda: value[..., :1].expand(*value.shape[:-1], 2**20), lambda: value.repeat(*[2] * value.ndim),
    ]  # fmt: skip
    return rng.choice(changes)()


def bent(rng: random.Random, value: Any) -> Any:
    """A fitting value with another shape, type, sign or size."""
    try:
        if isinstance(value, np.ndarray):
            return _bent_array(rng, value)
        if isinstance(value, torch.Tensor):
            return _bent_tensor(rng, value)
    except (ValueError, TypeError, IndexError, RuntimeError):
        return anything(rng)
    if isinstance(value, bool):
        return anything(rng)
    if isinstance(value, int | float):
        return rng.choice(
            [
                -value,
                value * 1e30,
                value + 0.5,
                str(value),
                np.float16(value),
                np.array(value),
                [value],
                value - 1,
                0,
                2**40,
            ]
        )
    if isinstance(value, str):
        return rng.choice(
            [value + "\0", value.encode(), value + "\udc80", value[:-1], value.upper(), [value], value * 2000]
        )
    if isinstance(value, Sequence):
        items = list(value)
        if items and rng.random() < 0.6:
            at = rng.randrange(len(items))
            items[at] = bent(rng, items[at]) if rng.random() < 0.7 else anything(rng)
            return type(value)(items) if type(value) in (list, tuple) else items
        return rng.choice([items * 2, items[:-1], items * 1000, tuple(items), np.array(items, object)])
    return anything(rng)
