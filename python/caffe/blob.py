"""Caffe's Blob: an N-d array of data and of diff, seen as writable numpy views on the host and as tensors on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import mode
from caffe.errors import CaffeError
from caffe.inputs.arguments import instance, integer

MAX_AXES = 32


class Memory:
    """One array that lives on the host, on the device, or on both (Caffe's SyncedMemory).

    The host side is what numpy sees, the device side what layers compute with; on the CPU they are one tensor. The side written
    last is the head. Results are taken over without a copy unless a numpy view has been handed out, which then stays current.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._head_on_device = False
        self._viewed = False

    @property
    def allocated(self) -> bool:
        """Whether anything was ever stored or looked at."""
        return self._host is not None or self._device is not None

    @property
    def viewed(self) -> bool:
        """Whether a numpy view of the host side was handed out: in-place results then overwrite what layers have read."""
        return self._viewed

    def host(self) -> npt.NDArray[np.float32]:
        """A writable flat float32 view; the host becomes the head, since the caller may write."""
        if self._host is None:
            self._host = torch.zeros(self.count, dtype=torch.float32)
        if self._head_on_device and self._device is not None:
            self._host.copy_(self._device)
        self._head_on_device = False
        self._viewed = True
        return self._host.numpy()

    def tensor(self) -> torch.Tensor:
        """The flat tensor on the compute device, up to date."""
        on = mode.device()
        if on.type == "cpu":
            if self._host is None:
                self._host = torch.zeros(self.count, dtype=torch.float32)
            if self._head_on_device and self._device is not None:
                self._host.copy_(self._device)
                self._head_on_device = False
            return self._host
        if self._device is None or self._device.device != on:
            moved = self._device if self._head_on_device else self._host
            if moved is None:
                self._device = torch.zeros(self.count, dtype=torch.float32, device=on)
            else:
                self._device = moved.to(on)
        elif not self._head_on_device and self._host is not None:
            self._device.copy_(self._host)
        self._head_on_device = True
        return self._device

    def discard(self) -> None:
        """Give the memory back if nobody has a view of it: its content is about to be replaced."""
        if not self._viewed:
            self._host = self._device = None
            self._head_on_device = False

    def assign(self, value: torch.Tensor) -> None:
        """Take `value` (any shape with this count, float32) as the new content."""
        flat = value.detach().reshape(-1)
        if flat.device.type == "cpu":
            if self._viewed and self._host is not None:
                if self._host.data_ptr() != flat.data_ptr():
                    self._host.copy_(flat)
            else:
                self._host = flat
            self._head_on_device = False
        else:
            self._device = flat
            self._head_on_device = True


def _length(value: Any) -> int:
    return value if type(value) is int else integer("the length of an axis", value)


class Blob:
    """An N-d array (at most 32 axes) with `data` and `diff`, both float32, allocated when first used.

    `data` and `diff` are numpy views that may be written to; on the CPU they share memory with what the layers read. In GPU mode
    an access copies from the device and the next layer that reads the blob copies back, as Caffe's host/device head does.
    """

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self._shape: tuple[int, ...] = ()
        self._data = Memory(1)
        self._diff = Memory(1)
        self.reshape(shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._shape

    @property
    def count(self) -> int:
        """Number of elements."""
        return self._data.count

    @property
    def num(self) -> int:
        """Length of axis 0 of the legacy 4-d shape (num, channels, height, width)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Length of axis 1 of the legacy 4-d shape."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Length of axis 2 of the legacy 4-d shape."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Length of axis 3 of the legacy 4-d shape."""
        return self._legacy(3)

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise CaffeError(f"Cannot use legacy accessors on Blobs with > 4 axes (this one has {len(self._shape)}).")
        return self._shape[axis] if axis < len(self._shape) else 1

    @property
    def data(self) -> npt.NDArray[np.float32]:
        """The values: a writable numpy view of this blob's shape."""
        return self._data.host().reshape(self._shape)

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        self.data[...] = value

    @property
    def diff(self) -> npt.NDArray[np.float32]:
        """The gradient: a writable numpy view of this blob's shape, zeros until something was computed."""
        return self._diff.host().reshape(self._shape)

    @diff.setter
    def diff(self, value: npt.ArrayLike) -> None:
        self.diff[...] = value

    def reshape(self, *shape: int | Sequence[int]) -> None:
        """Change the shape. With another number of elements the content becomes zeros; otherwise it is kept.

        Raises CaffeError for negative lengths or more than 32 axes.
        """
        given = (d for s in shape for d in (s if isinstance(s, Sequence | np.ndarray) else (s,)))
        dims = tuple(_length(d) for d in islice(given, MAX_AXES + 1))
        if len(dims) > MAX_AXES or any(d < 0 for d in dims):
            raise CaffeError(f"Cannot reshape a blob to {dims}: at most {MAX_AXES} axes, none negative.")
        count = math.prod(dims)
        if count >= 2**31:
            raise CaffeError(f"Cannot reshape a blob to {dims}: blob size exceeds INT_MAX.")
        if count != self._data.count:
            self._data = Memory(count)
            self._diff = Memory(count)
        self._shape = dims

    def reshape_like(self, other: Blob) -> None:
        """Take the shape of `other`."""
        instance("other", other, Blob)
        self.reshape(*other.shape)

    def share(self, other: Blob, diff: bool = True) -> None:
        """Use the memory of `other`, which must have as many elements; this blob keeps its own shape."""
        if other.count != self.count:
            raise CaffeError(f"Cannot share {other.shape} with a blob of shape {self._shape}: the counts differ.")
        self._data = other._data
        if diff:
            self._diff = other._diff

    def shares_data(self, other: Blob) -> bool:
        """Whether `data` of both are one memory, by `share`."""
        return self._data is other._data

    # What layers and solvers use.

    @property
    def tensor(self) -> torch.Tensor:
        """The values as a tensor on the compute device."""
        return self._data.tensor().view(self._shape)

    @tensor.setter
    def tensor(self, value: torch.Tensor) -> None:
        if value.shape != self._shape:
            self.reshape(*value.shape)
        self._data.assign(value)

    def discard_data(self) -> None:
        """Let go of the values before new ones are computed, so that both need not fit in memory at once."""
        self._data.discard()

    def discard_diff(self) -> None:
        """Let go of the gradient, which then is zero, unless somebody has a view of it."""
        self._diff.discard()

    @property
    def grad(self) -> torch.Tensor:
        """The gradient as a tensor on the compute device."""
        return self._diff.tensor().view(self._shape)

    @grad.setter
    def grad(self, value: torch.Tensor) -> None:
        self._diff.assign(value)

    @property
    def has_grad(self) -> bool:
        """Whether a gradient was ever computed or looked at; if not, it is zero and holds no memory."""
        return self._diff.allocated

    @property
    def viewed(self) -> bool:
        """Whether a numpy view of `data` was handed out."""
        return self._data.viewed

    def add_grad(self, values: torch.Tensor) -> None:
        """Add to the gradient; the first is taken over without a copy."""
        if self.has_grad:
            self.grad.add_(values)
        else:
            self.grad = values

    def zero_diff(self) -> None:
        """Set the gradient to zero."""
        if self._diff.allocated:
            self._diff.tensor().zero_()

    def asum_data(self) -> float:
        """Sum of absolute values."""
        return float(self._data.tensor().abs().sum())

    def asum_diff(self) -> float:
        """Sum of absolute gradients."""
        return float(self._diff.tensor().abs().sum()) if self._diff.allocated else 0.0

    def sumsq_data(self) -> float:
        """Sum of squared values."""
        return float(self._data.tensor().square().sum())

    def sumsq_diff(self) -> float:
        """Sum of squared gradients."""
        return float(self._diff.tensor().square().sum()) if self._diff.allocated else 0.0

    def shape_string(self) -> str:
        """The shape as Caffe's messages print it, for example "1 3 4 4 (48)"."""
        return "".join(f"{d} " for d in self._shape) + f"({self.count})"


class BlobVec(list[Blob]):
    """The parameters of a layer, in order."""

    def add_blob(self, *shape: int) -> Blob:
        """Append a blob of zeros (pycaffe's call for Python layers with parameters)."""
        self.append(Blob(shape))
        return self[-1]

    def __iter__(self) -> Iterator[Blob]:
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)
