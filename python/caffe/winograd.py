"""3 x 3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray 2016).

The output is cut into tiles of 4 x 4. A tile's window of 6 x 6 inputs and the kernel are transformed so that their convolution is
a product of 36 pairs of numbers instead of 144; summed over channels, 36 matrix products over all tiles, and transformed back:
Y = A^T [(G g G^T) . (B^T d B)] A. The matrices evaluate and interpolate polynomials at five points and at infinity; with these
points the rounding is about twice that of a direct sum (Barabasz et al. 2020), with the customary 0, 1, -1, 2, -2 four times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

TILE = 4
_BAND = 8  # rows of tiles that are worked on together, so that what lies between the steps stays in the cache
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


_BT, _G, _AT = _matrices()


def transformed(weight: torch.Tensor) -> torch.Tensor:
    """The weights (O, C, 3, 3) of a convolution as `convolve` takes them: (36, C, O), float32."""
    g = torch.from_numpy(_G).to(weight.device)
    products = torch.einsum("ai,ocij,bj->abco", g, weight.double(), g)
    return products.reshape(_WINDOW * _WINDOW, weight.shape[1], weight.shape[0]).float()


def convolve(x: torch.Tensor, products: torch.Tensor, bias: torch.Tensor | None, pad: Sequence[int]) -> torch.Tensor:
    """The convolution with stride 1 of maps N x C x H x W (float32, channels last) by weights that were `transformed`.

    bias: (O) or None. pad: zeros above and below, left and right. Returns N x O x (H + 2 pad - 2) x (W + 2 pad - 2), channels last.
    """
    height, width = x.shape[2] + 2 * pad[0] - 2, x.shape[3] + 2 * pad[1] - 2
    rows, columns = -(-height // TILE), -(-width // TILE)
    below, right = rows * TILE + 2 - x.shape[2] - pad[0], columns * TILE + 2 - x.shape[3] - pad[1]
    padded = F.pad(x, (pad[1], right, pad[0], below)).permute(0, 2, 3, 1)
    y = x.new_empty(len(x), rows * TILE, columns * TILE, products.shape[2])
    for row in range(0, rows * TILE, _BAND * TILE):
        band = slice(row, row + _BAND * TILE)
        _convolve_band(padded[:, row : band.stop + 2], products, y[:, band])
    if bias is not None:
        y += bias
    return y[:, :height, :width].permute(0, 3, 1, 2)


def _convolve_band(x: torch.Tensor, products: torch.Tensor, y: torch.Tensor) -> None:
    """Fill y, N x (4 rows) x (4 columns) x O, from its windows' inputs x, N x (4 rows + 2) x (4 columns + 2) x C."""
    batch, channels, outputs = len(x), x.shape[3], y.shape[3]
    rows, columns = y.shape[1] // TILE, y.shape[2] // TILE
    tiles = x.new_empty(_WINDOW, _WINDOW, batch, rows, columns, channels)
    across = [x[:, :, j : j + (columns - 1) * TILE + 1 : TILE] for j in range(_WINDOW)]
    for b in range(_WINDOW):
        column = _combined(_BT[b], across)
        down = [column[:, i : i + (rows - 1) * TILE + 1 : TILE] for i in range(_WINDOW)]
        for a in range(_WINDOW):
            _combined(_BT[a], down, out=tiles[a, b])

    sums = torch.bmm(tiles.view(_WINDOW * _WINDOW, -1, channels), products)
    sums = sums.view(_WINDOW, _WINDOW, batch, rows, columns, outputs)
    for i in range(TILE):
        row = _combined(_AT[i], list(sums))
        for j in range(TILE):
            _combined(_AT[j], list(row), out=y[:, i::TILE, j::TILE])


def _combined(coefficients: np.ndarray, parts: list[torch.Tensor], out: torch.Tensor | None = None) -> torch.Tensor:
    """The sum of the parts times their coefficients, zeros left out."""
    terms = [(float(c), part) for c, part in zip(coefficients, parts) if c]
    total = torch.mul(terms[0][1], terms[0][0], out=out)
    for coefficient, part in terms[1:]:
        total.add_(part, alpha=coefficient)
    return total
