"""3 x 3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray 2016).

The output is cut into tiles of 4 x 4. A tile's window of 6 x 6 inputs and the kernel are transformed so that their convolution is
a product of 36 pairs of numbers instead of 144; summed over channels, 36 matrix products over all tiles, and transformed back:
Y = A^T [(G g G^T) . (B^T d B)] A. The matrices evaluate and interpolate polynomials at five points and at infinity; with these
points the rounding is about twice that of a direct sum (Barabasz et al. 2020), with the customary 0, 1, -1, 2, -2 four times.

The transforms of tiles are matrix products, too, by the Kronecker products of B^T and of A^T with themselves, over all tiles and
channels of a band: more operations than rows first and columns then, in half the time for a whole convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

TILE = 4
_BAND = 160  # tiles, in whole rows, that are worked on together, so that what lies between the steps stays in the cache
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
_INTO, _KERNEL, _BACK = (torch.from_numpy(np.kron(matrix, matrix)) for matrix in _matrices())


def transformed(weight: torch.Tensor) -> torch.Tensor:
    """The weights (O, C, 3, 3) of a convolution as `convolve` takes them: (36, C, O), float32."""
    return torch.einsum("pt,oct->pco", _KERNEL.to(weight.device), weight.double().flatten(2)).float()


def convolve(x: torch.Tensor, products: torch.Tensor, bias: torch.Tensor | None, pad: Sequence[int]) -> torch.Tensor:
    """The convolution with stride 1 of maps N x C x H x W (float32, channels last) by weights that were `transformed`.

    bias: (O) or None. pad: zeros above and below, left and right. Returns N x O x (H + 2 pad - 2) x (W + 2 pad - 2), channels last.
    """
    height, width = x.shape[2] + 2 * pad[0] - 2, x.shape[3] + 2 * pad[1] - 2
    rows, columns = -(-height // TILE), -(-width // TILE)
    y = x.new_empty(len(x), rows * TILE, columns * TILE, products.shape[2])
    band_rows = max(1, _BAND // columns)
    for row in range(0, rows, band_rows):
        band = y[:, row * TILE : (row + band_rows) * TILE]
        above, right = row * TILE - pad[0], columns * TILE + 2 - pad[1]
        _convolve_band(_section(x, (above, above + band.shape[1] + 2), (-pad[1], right)), products, band)
        if bias is not None:
            band += bias
    return y[:, :height, :width].permute(0, 3, 1, 2)


def _section(x: torch.Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> torch.Tensor:
    """These rows and columns of maps N x C x H x W, from and to, as N x rows x columns x C; zeros outside of the maps."""
    inside = x[:, :, max(0, rows[0]) : max(0, rows[1]), max(0, columns[0]) : max(0, columns[1])]
    pads = []
    for (start, end), length in ((columns, inside.shape[3]), (rows, inside.shape[2])):
        before = min(max(0, -start), end - start)
        pads += [before, end - start - before - length]
    return F.pad(inside, pads).permute(0, 2, 3, 1)


def _convolve_band(x: torch.Tensor, products: torch.Tensor, y: torch.Tensor) -> None:
    """Fill y, N x (4 rows) x (4 columns) x O, from its windows' inputs x, N x (4 rows + 2) x (4 columns + 2) x C."""
    cells, channels = products.shape[:2]
    batch, rows, columns = len(y), y.shape[1] // TILE, y.shape[2] // TILE
    windows = x.unfold(1, _WINDOW, TILE).unfold(2, _WINDOW, TILE).permute(4, 5, 0, 1, 2, 3)
    tiles = _INTO.to(x) @ windows.reshape(cells, -1)
    sums = torch.bmm(tiles.view(cells, -1, channels), products)
    outputs = _BACK.to(x) @ sums.view(cells, -1)
    outputs = outputs.view(TILE, TILE, batch, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
    y.view(batch, rows, TILE, columns, TILE, -1).copy_(outputs)
