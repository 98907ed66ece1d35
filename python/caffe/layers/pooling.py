"""Pooling and SPP (spatial pyramid pooling), with Caffe's output sizes and divisors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe import mode
from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer
from caffe.layers.window import Windows
from caffe.proto import caffe_pb2

Pair = tuple[int, int]


class Pool:
    """Maxima and means of windows over (height, width)."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        (self.kernel, self.stride, self.pad) = (windows.kernel, windows.stride, windows.pad)
        self.rounds_up = windows[0].rounds_up

    def output(self, size: Sequence[int]) -> Pair:
        """Number of windows for an input of `size`, as Caffe counts them."""
        height, width = self.windows.output(size)
        return height, width

    def suits_torch(self, size: Sequence[int]) -> bool:
        """Whether torch's pooling has the same windows: it refuses wide padding and drops every empty last window."""
        axes = zip(size, self.kernel, self.stride, self.pad, self.output(size))
        return all(2 * p <= k and n + 2 * p >= k and (out - 1) * s < n + p for n, k, s, p, out in axes)

    def padded(self, x: torch.Tensor, value: float) -> torch.Tensor:
        """The input with all its windows' cells."""
        (ph, pw), (h, w) = self.pad, x.shape[-2:]
        bottom, right = (
            max(0, (out - 1) * s + k - n - p)
            for n, k, s, p, out in zip((h, w), self.kernel, self.stride, self.pad, self.output((h, w)))
        )
        return F.pad(x, (pw, right, ph, bottom), value=value)

    def maximum(self, x: torch.Tensor) -> torch.Tensor:
        """Largest value of each window (the first in scan order among equals gets the gradient); 0 for an empty window."""
        if not self.suits_torch(x.shape[-2:]):
            return self.maximum_with_index(x)[0]
        if x.requires_grad or x.device.type != "cpu" or any(self.pad) or self.kernel == (1, 1):
            return F.max_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=self.rounds_up)
        # Without indices for a backward step, rows and then columns take a quarter of torch's time on the CPU.
        out_h, out_w = self.output(x.shape[-2:])
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        cells, axis = (x.permute(0, 2, 3, 1), 1) if channels_last else (x, 2)
        rows = _running_maximum(cells, axis, self.kernel[0], self.stride[0], out_h)
        result = _running_maximum(rows, axis + 1, self.kernel[1], self.stride[1], out_w)
        return result.permute(0, 3, 1, 2) if channels_last else result

    def maximum_with_index(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, with the position y * width + x of each maximum; -1 for an empty window."""
        h, w = x.shape[-2:]
        if self.suits_torch((h, w)):
            return F.max_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=self.rounds_up, return_indices=True)
        out_h, out_w = self.output((h, w))
        padded = self.padded(x, -torch.inf)
        values, index = F.max_pool2d(padded, self.kernel, self.stride, return_indices=True)
        values, index = values[..., :out_h, :out_w], index[..., :out_h, :out_w]
        rows = torch.div(index, padded.shape[-1], rounding_mode="floor") - self.pad[0]
        columns = index % padded.shape[-1] - self.pad[1]
        empty = torch.isneginf(values) & ((rows < 0) | (rows >= h) | (columns < 0) | (columns >= w))
        return values.masked_fill(empty, 0), (rows * w + columns).masked_fill(empty, -1)

    def average(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of each window over its size, which counts padding cells up to `pad` beyond the input; 0 for an empty window."""
        h, w = x.shape[-2:]
        if self.suits_torch((h, w)):
            return F.avg_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=self.rounds_up)
        out_h, out_w = self.output((h, w))
        sums = F.avg_pool2d(self.padded(x, 0.0), self.kernel, self.stride, divisor_override=1)[..., :out_h, :out_w]
        heights, widths = (
            (n + p - s * torch.arange(out) + p).clamp(0, k) for n, k, s, p, out in self._axes((h, w), (out_h, out_w))
        )
        cells = (heights[:, None] * widths[None, :]).clamp(min=1)
        return sums / cells.to(x)

    def _axes(self, size: Pair, output: Pair) -> Sequence[tuple[int, int, int, int, int]]:
        return list(zip(size, self.kernel, self.stride, self.pad, output))

    def cells(self, x: torch.Tensor) -> torch.Tensor:
        """The cells of each window: (N, C, kernel cells, out_h, out_w), 0 beyond the input."""
        n, c, h, w = x.shape
        out_h, out_w = self.output((h, w))
        cells = F.unfold(
            self.padded(x, 0.0).reshape(n * c, 1, *self.padded(x, 0.0).shape[-2:]), self.kernel, stride=self.stride
        )
        return cells.reshape(n, c, self.kernel[0] * self.kernel[1], out_h, out_w)


def _running_maximum(x: torch.Tensor, axis: int, kernel: int, stride: int, output: int) -> torch.Tensor:
    """Maximum over windows along one axis; windows at the end may reach beyond it."""
    length = x.shape[axis]

    def cells(offset: int) -> torch.Tensor:
        count = min(output, -(-(length - offset) // stride))
        return x[(slice(None),) * axis + (slice(offset, offset + (count - 1) * stride + 1, stride),)]

    result = cells(0)
    for offset in range(1, min(kernel, length)):
        other = cells(offset)
        if other.shape == result.shape:
            result = torch.maximum(result, other)
        else:
            whole = result.narrow(axis, 0, other.shape[axis])
            rest = result.narrow(axis, other.shape[axis], output - other.shape[axis])
            result = torch.cat([torch.maximum(whole, other), rest], axis)
    return result if result.is_contiguous() else result.contiguous()


@register_layer("Pooling")
class Pooling(TorchLayer):
    """Caffe layer Pooling: maximum, average or a random cell of each window.

    Bottom: (N, C, H, W). Top 0: (N, C, ceil((H + 2 pad - kernel) / stride) + 1, likewise W). Top 1, optional, MAX only: the
    position y * W + x of each maximum. Options (pooling_param): pool (MAX; AVE, STOCHASTIC), kernel_size or kernel_h and kernel_w,
    stride (1), pad (0), likewise; global_pooling (false), round_mode (CEIL). Windows clip at the edges; AVE divides by the cells
    of the window, padding included. STOCHASTIC takes, in phase TRAIN, a cell with probability proportional to its value, and in
    phase TEST the mean weighted that way. A window that lies outside the input (stride > kernel) gives 0, where Caffe gives
    NaN or -FLT_MAX. Gradient: the bottom.
    """

    any_layout = True
    exact_bottoms = 1
    min_tops = 1
    max_tops = 2
    kind = "pooling"

    @classmethod
    def windows_of(cls, layer_param: caffe_pb2.LayerParameter) -> Windows | None:
        return Windows.of_pooling(layer_param)

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.pooling_param
        self._check_axes(bottom[0])
        self.method = param.pool
        self.repeats = self.method != caffe_pb2.PoolingParameter.STOCHASTIC
        self.global_pooling = param.global_pooling
        windows = Windows.of_pooling(self.layer_param)
        if len(self.layer_param.top) > 1 and self.method != caffe_pb2.PoolingParameter.MAX:
            raise layer_error(self, "a second top (the mask) is for MAX pooling only.")
        self.pool = None if windows is None else Pool(windows)

    @property
    def selects_values(self) -> bool:
        return bool(self.method == caffe_pb2.PoolingParameter.MAX)

    @property
    def cheap_forward(self) -> bool:
        # The positions of the maxima take twice the top's memory; bottoms are kept by the layer below as a rule.
        return self.method != caffe_pb2.PoolingParameter.STOCHASTIC

    def _check_axes(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise layer_error(
                self,
                "Input must have 4 axes, corresponding to (num, channels, height, width), "
                f"but its shape is {shape_string(shape)}.",
            )

    def _pool(self, size: Sequence[int]) -> Pool:
        return self.pool or Pool(Windows.pooling(tuple(size), (1, 1), (0, 0)))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        self._check_axes(bottom[0])
        pool = self._pool(bottom[0][2:])
        size = pool.output(bottom[0][2:])
        if min(size) < 1:
            raise layer_error(
                self,
                f"kernel {shape_string(pool.kernel)} does not fit into the input {shape_string(bottom[0][2:])}.",
            )
        return [(*bottom[0][:2], *size)] * max(1, len(self.layer_param.top))

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        pool = self._pool(x.shape[2:])
        if self.method == caffe_pb2.PoolingParameter.AVE:
            return [x.mean((2, 3), keepdim=True) if self.global_pooling else pool.average(x)]
        if self.method == caffe_pb2.PoolingParameter.STOCHASTIC:
            return [self._stochastic(pool.cells(x))]
        if len(self.layer_param.top) < 2:
            return [pool.maximum(x)]
        values, index = pool.maximum_with_index(x)
        return [values, index.to(x.dtype)]

    def _stochastic(self, cells: torch.Tensor) -> torch.Tensor:
        if self.phase == mode.TEST:
            return (cells * cells).sum(2) / (cells.sum(2) + torch.finfo(torch.float32).tiny)
        running = cells.detach().cumsum(2)
        draw = torch.rand(running[:, :, :1].shape, generator=mode.generator(cells.device), device=cells.device)
        chosen = (running >= draw.to(cells) * running[:, :, -1:]).to(torch.uint8).argmax(2, keepdim=True)
        return cells.gather(2, chosen).squeeze(2)


@register_layer("SPP")
class SPP(TorchLayer):
    """Caffe layer SPP, spatial pyramid pooling: level l pools into 2^l x 2^l bins; all levels are flattened and concatenated.

    Bottom: (N, C, H, W). Top: (N, C (1 + 4 + ... + 4^(pyramid_height - 1))), for pyramid_height 1 (N, C, 1, 1).
    Options (spp_param): pyramid_height, pool (MAX; AVE). Gradient: the bottom.
    """

    exact_bottoms = 1
    exact_tops = 1
    kind = "pooling"

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.spp_param
        self.height = param.pyramid_height
        if self.height < 1:
            raise layer_error(self, "pyramid_height must be at least 1.")
        if param.pool == caffe_pb2.SPPParameter.STOCHASTIC:
            raise layer_error(self, "pool must be MAX or AVE.")
        self.average = param.pool == caffe_pb2.SPPParameter.AVE

    def _level(self, level: int, size: Sequence[int]) -> Pool:
        bins = 2**level
        kernel = tuple(-(-n // bins) for n in size)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size))
        if any(p >= k for p, k in zip(pad, kernel)):
            raise layer_error(
                self, f"pyramid_height {self.height} is too large for an input of {shape_string(tuple(size))}."
            )
        return Pool(Windows.pooling(kernel, kernel, pad))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        n, c, *size = bottom[0]
        cells = [self._level(level, size).output(size) for level in range(self.height)]
        return [(n, c, *cells[0])] if self.height == 1 else [(n, c * sum(h * w for h, w in cells))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x = bottom[0]
        pools = [self._level(level, x.shape[2:]) for level in range(self.height)]
        levels = [pool.average(x) if self.average else pool.maximum(x) for pool in pools]
        return levels if self.height == 1 else [torch.cat([y.flatten(1) for y in levels], 1)]
