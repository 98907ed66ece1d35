"""A chain of layers on large maps, some rows at a time: what passes from one layer to the next then stays in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from caffe.layers.window import Window

# Computes layer number k on some rows of its input, with so many rows of the layer's padding above and below them.
Part = Callable[[int, torch.Tensor, tuple[int, int]], torch.Tensor]


def seen(window: Window, rows: range, length: int) -> tuple[range, tuple[int, int]]:
    """The input rows that output rows are made from, and how many rows of these windows lie above and below the input.

    length: number of rows of the whole input.
    """
    first = rows.start * window.stride - window.pad
    last = (rows.stop - 1) * window.stride - window.pad + window.extent
    inside = range(max(first, 0), min(last, length))
    return inside, (inside.start - first, last - inside.stop)


def run(x: torch.Tensor, windows: Sequence[Window], part: Part, rows: int) -> torch.Tensor:
    """The last layer's output for maps N x C x H x W, made `rows` rows at a time; channels last.

    windows: what each layer does along rows; no window may see padding alone.
    """
    lengths = [x.shape[2]]
    for window in windows:
        lengths.append(window.output(lengths[-1]))
    result: torch.Tensor | None = None
    for first in range(0, lengths[-1], rows):
        wanted = range(first, min(first + rows, lengths[-1]))
        outside = []
        for window, length in zip(reversed(windows), reversed(lengths[:-1])):
            wanted, beyond = seen(window, wanted, length)
            outside.append(beyond)
        y = x[:, :, wanted.start : wanted.stop]
        for k, beyond in enumerate(reversed(outside)):
            y = part(k, y, beyond)
        if result is None:
            result = y.new_empty(len(y), lengths[-1], y.shape[3], y.shape[1])
        result[:, first : first + rows] = y.permute(0, 2, 3, 1)
    assert result is not None
    return result.permute(0, 3, 1, 2)
