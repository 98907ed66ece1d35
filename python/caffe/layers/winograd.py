"""3 x 3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray 2016).

The output is cut into tiles of 4 x 4. A tile's window of 6 x 6 inputs and the kernel are transformed so that their convolution is
a product of 36 pairs of numbers instead of 144; summed over channels, 36 matrix products over all tiles, and transformed back:
Y = A^T [(G g G^T) . (B^T d B)] A. The matrices evaluate and interpolate polynomials at five points and at infinity; with these
points the rounding is about twice that of a direct sum (Barabasz et al. 2020), with the customary 0, 1, -1, 2, -2 four times.

The gradient of the inputs is such a convolution of the outputs' gradient by the kernels turned round. The gradient of the kernels
is the transpose of the form above, G^T [(A dY A^T) . (B^T d B)] G, the products summed over all tiles before the last transform.

Transforms are matrix products, too, by the Kronecker product of a matrix with itself, one product for each tile: cells times
channels, which stay in the cache. So tiles, kernels and what is made of them lie as (tiles or outputs, 36, channels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

TILE = 4
_BAND = 320  # tiles, in whole rows or images, that are worked on together: few enough for the cache, enough for fast products
_WINDOW = TILE + 2
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (6 x 6), G (6 x 3) and A^T (4 x 6) for the points, infinity last; float64."""
    bt, g, at = np.zeros((_WINDOW, _WINDOW)), np.zeros((_WINDOW, 3)), np.zeros((TILE, _WINDOW))
    for j, point in enumerate(_POINTS):
        others = np.poly1d([p for p in _POINTS if p != point], r=True)
        bt[j, :-1] = others.coeffs[::-1]
        g[j] = point ** np.arange(3) / others(point)
        at[:, j] = point ** np.arange(TILE)
    bt[-1] = np.poly1d(_POINTS, r=True).coeffs[::-1]
    g[-1, -1] = at[-1, -1] = 1
    return bt, g, at


# The same for the cells of a window, row by row: 36 x 36, 36 x 9 and 16 x 36.
_INTO, _KERNEL, _BACK = (torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in _matrices())
_ONES = _WINDOW + 1  # the cell of point 1 twice: what is added there is added to all of a tile's outputs
# For the gradients: kernels turned round (36 x 9), outputs into the space of products (36 x 16).
_TURNED, _BACK_AGAIN = _KERNEL.flip(1), _BACK.t().contiguous()


def transformed(weight: torch.Tensor) -> torch.Tensor:
    """The weights (O, C, 3, 3) of a convolution as `convolve` takes them: (O, 36, C), float32."""
    return _transformed(weight, _KERNEL)


def _transformed(weight: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    return kernel.to(weight.device) @ weight.flatten(2).transpose(1, 2)


def convolve(x: torch.Tensor, products: torch.Tensor, bias: torch.Tensor | None, pad: Sequence[int]) -> torch.Tensor:
    """The convolution with stride 1 of maps N x C x H x W (float32, channels last) by weights that were `transformed`.

    bias: (O) or None. pad: zeros above and below, left and right. Returns N x O x (H + 2 pad - 2) x (W + 2 pad - 2), channels last.
    """
    return _convolve(x.permute(0, 2, 3, 1), products.permute(1, 2, 0), bias, pad)


def convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, pad: Sequence[int], weights_alone: bool = False
) -> torch.Tensor:
    """The convolution with stride 1 of maps N x C x H x W (float32, on the CPU) by weights (O, C, 3, 3), with its gradients.

    bias: (O) or None. pad: as for `convolve`, at most 2. weights_alone: only their gradient is made in Winograd's form, the rest
    by the library. Of maps channels last, results and gradients are channels last, too.
    """
    y: torch.Tensor = _Convolution.apply(x, weight, bias, pad, weights_alone)
    return y


class _Convolution(torch.autograd.Function):
    """`convolution`. For backward it keeps maps and weights as they are, nothing transformed."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        pad: Sequence[int],
        weights_alone: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pad, ctx.weights_alone = pad, weights_alone
        if weights_alone:
            return F.conv2d(x, weight, bias, padding=pad)
        return _laid_like(x, _convolve(_pixels(x), transformed(weight).permute(1, 2, 0), bias, pad))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        diff = _pixels(grads[0])
        of_maps = _library_gradient_of_maps if ctx.weights_alone else _gradient_of_maps
        return (
            _laid_like(x, of_maps(diff, weight, ctx.pad)) if of_x else None,
            _gradient_of_weights(_pixels(x), diff, ctx.pad) if of_weight else None,
            diff.flatten(0, 2).sum(0) if of_bias else None,
            None,
            None,
        )


def _library_gradient_of_maps(diff: torch.Tensor, weight: torch.Tensor, pad: Sequence[int]) -> torch.Tensor:
    """As `_gradient_of_maps`: of stride 1, it is a convolution by the weights turned round."""
    turned = weight.flip(2, 3).transpose(0, 1)
    return F.conv2d(diff.permute(0, 3, 1, 2), turned, padding=[2 - zeros for zeros in pad])


def _gradient_of_maps(diff: torch.Tensor, weight: torch.Tensor, pad: Sequence[int]) -> torch.Tensor:
    """diff: the outputs' gradient, N x H x W x O."""
    turned = _transformed(weight, _TURNED).transpose(0, 1)
    return _convolve(diff, turned, None, [2 - zeros for zeros in pad])


def _gradient_of_weights(x: torch.Tensor, diff: torch.Tensor, pad: Sequence[int]) -> torch.Tensor:
    """x: the maps, N x H x W x C. diff: the outputs' gradient, N x H x W x O."""
    channels, outputs = x.shape[3], diff.shape[3]
    rows, columns = (-(-length // TILE) for length in diff.shape[1:3])
    windows, tiles = _Windows(x, _WINDOW, pad, (rows, columns)), _Windows(diff, TILE, (0, 0), (rows, columns))
    inputs, back = windows.room(_WINDOW**2, channels), tiles.room(_WINDOW**2, outputs)
    sums = x.new_empty(_WINDOW**2, outputs, channels)
    for k, (images, band) in enumerate(_bands(len(x), rows, columns)):
        d = _product(_INTO, windows.cells(images, band), inputs).transpose(0, 1)
        dy = _product(_BACK_AGAIN, tiles.cells(images, band), back).permute(1, 2, 0)
        if k:
            sums.baddbmm_(dy, d)
        else:
            torch.bmm(dy, d, out=sums)
    # One product for each output, not one for all, whose bits would depend on the number of threads.
    grads = torch.bmm(_KERNEL.t().expand(outputs, 9, _WINDOW**2), sums.transpose(0, 1))
    return grads.transpose(1, 2).reshape(outputs, channels, 3, 3)


def _convolve(x: torch.Tensor, products: torch.Tensor, bias: torch.Tensor | None, pad: Sequence[int]) -> torch.Tensor:
    """As `convolve`, for maps N x H x W x C and products (36, C, O)."""
    outputs = products.shape[2]
    height, width = (length + 2 * zeros - 2 for length, zeros in zip(x.shape[1:3], pad))
    rows, columns = -(-height // TILE), -(-width // TILE)
    windows = _Windows(x, _WINDOW, pad, (rows, columns))
    inputs, sums = windows.room(_WINDOW**2, x.shape[3]), windows.room(_WINDOW**2, outputs)
    tiles = windows.room(TILE**2, outputs)
    result = torch.empty(
        (len(x), outputs, height, width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    y = result.permute(0, 2, 3, 1)
    for images, band in _bands(len(x), rows, columns):
        d = _product(_INTO, windows.cells(images, band), inputs)
        m = sums[: len(d)]
        torch.bmm(d.transpose(0, 1), products, out=m.transpose(0, 1))
        if bias is not None:
            m[:, _ONES] += bias
        made = _product(_BACK, m, tiles).view(-1, len(band), columns, TILE, TILE, outputs)
        _lay(made, y[images, band.start * TILE : band.stop * TILE])
    return result


def _lay(tiles: torch.Tensor, y: torch.Tensor) -> None:
    """Put tiles N x rows x columns x 4 x 4 x O side by side into y, N x H x W x O, which may end within the last ones."""
    heights, widths = (_lengths(count, length) for count, length in zip(tiles.shape[1:3], y.shape[1:3]))
    for row, height in heights:
        for column, width in widths:
            made = tiles[:, row, column, :height, :width]
            above, left = row.start * TILE, column.start * TILE
            part = y[:, above : above + made.shape[1] * height, left : left + made.shape[2] * width]
            part.unfold(1, height, height).unfold(2, width, width).copy_(made.permute(0, 1, 2, 5, 3, 4))


def _lengths(count: int, length: int) -> list[tuple[slice, int]]:
    """Along an axis of `length` cells the whole tiles, and the last one where it is not whole, with what each covers."""
    whole, rest = divmod(length, TILE)
    parts = [(slice(0, whole), TILE), (slice(whole, count), rest)]
    return [(part, cells) for part, cells in parts if cells and part.start < part.stop]


def _product(matrix: torch.Tensor, cells: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """The matrix times each tile's cells, into the first places of `room`."""
    return torch.bmm(matrix.to(cells.device).expand(len(cells), *matrix.shape), cells, out=room[: len(cells)])


def _bands(batch: int, rows: int, columns: int) -> Iterator[tuple[slice, range]]:
    """Images, and their rows of tiles, to be worked on together; the first are as many as any."""
    images, height = _band(batch, rows, columns)
    for image in range(0, batch, images):
        for row in range(0, rows, height):
            yield slice(image, min(image + images, batch)), range(row, min(row + height, rows))


def _band(batch: int, rows: int, columns: int) -> tuple[int, int]:
    """How many images, and how many rows of tiles of each: of many rows about equal parts."""
    parts = -(-rows * columns // _BAND)
    return min(batch, max(1, _BAND // (rows * columns))), -(-rows // parts)


class _Windows:
    """What windows of `extent` x `extent` cells see of maps N x H x W x C, a band of them at a time.

    They start at -pad and go on by TILE, `count` along rows and columns; beyond the maps they see zeros.
    """

    def __init__(self, x: torch.Tensor, extent: int, pad: Sequence[int], count: tuple[int, int]) -> None:
        self._x, self._extent, self._pad = x, extent, pad
        self._images, self._rows = _band(len(x), *count)
        self._columns = count[1]
        self._cells = self.room(extent**2, x.shape[3])
        height, width = (n * TILE + extent - TILE for n in (self._rows, count[1]))
        self._section = x.new_zeros(self._images, height, width, x.shape[3])

    def room(self, cells: int, channels: int) -> torch.Tensor:
        """Memory for so many numbers of each channel for each window of a band."""
        return self._x.new_empty(self._images * self._rows * self._columns, cells, channels)

    def cells(self, images: slice, rows: range) -> torch.Tensor:
        """(windows, cells of a window, C)."""
        extent = self._extent
        x = self._x[images]
        section = self._section[: len(x)]
        first, left = rows.start * TILE - self._pad[0], self._pad[1]
        height = min(section.shape[1], len(rows) * TILE + extent - TILE)
        above = min(max(0, -first), height)
        seen = x[:, max(0, first) : max(0, first + height), : max(0, section.shape[2] - left)]
        below = above + seen.shape[1]
        section[:, :above] = 0
        section[:, above:below, left : left + seen.shape[2]] = seen
        section[:, below:] = 0
        windows = section[:, :height].unfold(1, extent, TILE).unfold(2, extent, TILE).permute(0, 1, 2, 4, 5, 3)
        cells = self._cells[: windows.shape[0] * windows.shape[1] * windows.shape[2]]
        return cells.view(windows.shape).copy_(windows).view(cells.shape)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """N x H x W x C from N x C x H x W, in that order in memory: image by image, for torch turns matrices faster than maps."""
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1)
    batch, channels, height, width = x.shape
    y = x.new_empty(batch, height, width, channels)
    for image, pixels in zip(x, y):
        pixels.view(-1, channels).copy_(image.reshape(channels, -1).t())
    return y


def _laid_like(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Maps that are channels last, in the order in memory of those of x."""
    if is_channels_last(x):
        return y
    result = torch.empty(y.shape, dtype=y.dtype)
    for image, pixels in zip(result, y.permute(0, 2, 3, 1)):
        image.view(len(image), -1).copy_(pixels.reshape(-1, len(image)).t())
    return result


def is_channels_last(x: torch.Tensor) -> bool:
    """Whether maps N x C x H x W lie so in memory, and not in the order of their axes."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
