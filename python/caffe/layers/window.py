"""The windows that convolutions and poolings slide over images: where they lie, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """What a layer does along one axis: window j covers `kernel` cells, `dilation` apart, from stride * j - pad on.

    Poolings of Caffe round up: their last window may reach beyond the padding (`rounds_up`); but where there is padding, on this
    axis or another, it is dropped if it would start beyond the input and the padding in front of it (`drops_last`).
    """

    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    rounds_up: bool = False
    drops_last: bool = False

    @property
    def extent(self) -> int:
        """Cells from a window's first to its last."""
        return self.dilation * (self.kernel - 1) + 1

    def output(self, length: int) -> int:
        """The number of windows for an input of `length` cells; less than 1 if none fits."""
        span = length + 2 * self.pad - self.extent
        count = (-(-span // self.stride) if self.rounds_up else span // self.stride) + 1
        return count - 1 if self.drops_last and (count - 1) * self.stride >= length + self.pad else count

    def input(self, count: int) -> int:
        """The shortest input that has `count` windows: the output of a Deconvolution."""
        return self.stride * (count - 1) + self.extent - 2 * self.pad

    def coordinates(self) -> tuple[Fraction, Fraction]:
        """(a, b): position x of the input is position a x + b of the windows, counted from their middles."""
        return Fraction(1, self.stride), Fraction(2 * self.pad - (self.extent - 1), 2 * self.stride)


class Windows(tuple[Window, ...]):
    """One Window per spatial axis, and their numbers together as libraries take them."""

    __slots__ = ()

    @property
    def kernel(self) -> Shape:
        """Cells per axis."""
        return tuple(window.kernel for window in self)

    @property
    def stride(self) -> Shape:
        """Cells from one window to the next."""
        return tuple(window.stride for window in self)

    @property
    def pad(self) -> Shape:
        """Zeros in front of the first cell and behind the last."""
        return tuple(window.pad for window in self)

    @property
    def dilation(self) -> Shape:
        """Cells from one cell of a window to the next."""
        return tuple(window.dilation for window in self)

    def output(self, size: Sequence[int]) -> Shape:
        """The number of windows per axis for an input of `size`."""
        return tuple(window.output(n) for window, n in zip(self, size))

    def strides_on(self, size: Sequence[int]) -> Shape:
        """`stride`, but none beyond an input of `size`: libraries' gradients need time and memory for each cell of it."""
        return tuple(min(w.stride, n + 2 * w.pad - w.extent + 1) for w, n in zip(self, size))

    @classmethod
    def of_convolution(cls, layer: caffe_pb2.LayerParameter, axes: int | None = None) -> Windows:
        """Read convolution_param, by default for as many axes as it states, at least 2.

        Raises CaffeError, in Caffe's words, for contradictory or incomplete options.
        """
        param = layer.convolution_param
        stated = (param.kernel_size, param.stride, param.pad, param.dilation)
        axes = max(2, *map(len, stated)) if axes is None else axes
        kernel = _per_axis(layer, "kernel_size", "kernel", axes, None)
        stride, pad = _per_axis(layer, "stride", "stride", axes, 1), _per_axis(layer, "pad", "pad", axes, 0)
        dilation = _per_axis(layer, "dilation", None, axes, 1)
        for what, values in (("Filter", kernel), ("Stride", stride), ("Dilation", dilation)):
            if any(value == 0 for value in values):
                raise _error(layer, f"{what} dimensions must be nonzero.")
        return cls(Window(*numbers) for numbers in zip(kernel, stride, pad, dilation))

    @classmethod
    def of_pooling(cls, layer: caffe_pb2.LayerParameter) -> Windows | None:
        """Read pooling_param; None for global pooling, whose one window is the image.

        Raises CaffeError, in Caffe's words, for contradictory or incomplete options.
        """
        param = layer.pooling_param
        sized = param.HasField("kernel_size") or param.HasField("kernel_h") or param.HasField("kernel_w")
        if param.global_pooling and sized:
            raise _error(layer, "With Global_pooling: true Filter size cannot specified")
        kernel = _pair(layer, "kernel", "kernel_size", 0)
        stride, pad = _pair(layer, "stride", "stride", 1), _pair(layer, "pad", "pad", 0)
        if not param.global_pooling and not all(kernel):
            raise _error(layer, "Filter dimensions cannot be zero: give kernel_size, or kernel_h and kernel_w.")
        if not all(stride):
            raise _error(layer, "Stride cannot be zero.")
        if any(pad) and param.pool == caffe_pb2.PoolingParameter.STOCHASTIC:
            raise _error(layer, "Padding implemented only for average and max pooling.")
        if param.global_pooling:
            if pad != (0, 0) or stride != (1, 1):
                raise _error(layer, "With Global_pooling: true; only pad = 0 and stride = 1")
            return None
        if any(p >= k for p, k in zip(pad, kernel)):
            raise _error(layer, f"pad ({_words(pad)}) must be less than the kernel ({_words(kernel)}).")
        return cls.pooling(kernel, stride, pad, rounds_up=param.round_mode != caffe_pb2.PoolingParameter.FLOOR)

    @classmethod
    def pooling(cls, kernel: Shape, stride: Shape, pad: Shape, rounds_up: bool = True) -> Windows:
        """Those of a pooling, whose last window is dropped where it sees padding alone."""
        return cls(Window(k, s, p, 1, rounds_up, any(pad)) for k, s, p in zip(kernel, stride, pad))


def _error(layer: caffe_pb2.LayerParameter, message: str) -> CaffeError:
    return CaffeError(f"layer '{layer.name}' ({layer.type}): {message}")


def _words(numbers: Shape) -> str:
    return " ".join(map(str, numbers))


def _per_axis(layer: caffe_pb2.LayerParameter, field: str, prefix: str | None, axes: int, default: int | None) -> Shape:
    param = layer.convolution_param
    values: Sequence[int] = getattr(param, field)
    if prefix is not None and (param.HasField(f"{prefix}_h") or param.HasField(f"{prefix}_w")):  # type: ignore[arg-type]
        if axes != 2:
            raise _error(layer, f"{prefix}_h & {prefix}_w can only be used for 2D convolution.")
        if len(values):
            raise _error(layer, f"Either {field} or {prefix}_h/w should be specified; not both.")
        return (getattr(param, f"{prefix}_h"), getattr(param, f"{prefix}_w"))
    if not len(values) and default is not None:
        return (default,) * axes
    if len(values) == 1:
        return (int(values[0]),) * axes
    if len(values) != axes:
        raise _error(
            layer,
            f"{field} must be specified once, or once per spatial dimension ({field} specified {len(values)} times; "
            f"{axes} spatial dims).",
        )
    return tuple(int(v) for v in values)


def _pair(layer: caffe_pb2.LayerParameter, prefix: str, field: str, default: int) -> tuple[int, int]:
    param = layer.pooling_param
    height, width, side = (param.HasField(name) for name in (f"{prefix}_h", f"{prefix}_w", field))  # type: ignore[arg-type]
    if (height or width) and side:
        raise _error(layer, f"{field} and {prefix}_h / {prefix}_w are both given; use one of them.")
    if height != width:
        raise _error(layer, f"For non-square {prefix}s both {prefix}_h and {prefix}_w are required.")
    if height:
        return getattr(param, f"{prefix}_h"), getattr(param, f"{prefix}_w")
    value = getattr(param, field) if side else default
    return value, value
