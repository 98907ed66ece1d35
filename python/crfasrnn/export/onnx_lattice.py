"""The permutohedral lattice of a kernel, made and used by a fixed number of ONNX operators.

This is the lattice of the compiled core, not an approximation of it: examples/mean_field_in_plain_torch.py says what is computed.
What a hash table does there is done here by sorting: vertices are whole numbers, sorted by TopK; neighbours are found by
bisection.

op: onnxscript's opset, whose calls add a node to the graph that is being made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MOST_FEATURES = 6
"""Of a kernel, position and channels, so that vertices fit into 63 bits."""

_STEPS = 26  # of the bisection: enough for 2^26 vertices


def constant(op: Any, values: Any, dtype: type = np.int64) -> Any:
    """A value of the graph that holds these numbers."""
    from onnxscript import ir

    return op.Constant(value=ir.tensor(np.asarray(values, dtype)))


class OnnxLattice:
    """The Gaussian filter at features (P, d) float32, in standard deviations, for values (P, C)."""

    def __init__(self, op: Any, features: Any, dimensions: int) -> None:
        self._op, self._d = op, dimensions
        nearest, rank, self._weights = self._embedded(features)
        self._find(*self._codes(nearest, rank))

    def _embedded(self, features: Any) -> tuple[Any, Any, Any]:
        """Of every point: the nearest vertex of remainder 0 (P, d + 1) and the ranks (P, d + 1), int64; the weights (P, d + 1)."""
        op, d = self._op, self._d
        i = np.arange(1, d + 1)
        scaled = op.Mul(features, constant(op, math.sqrt(2 / 3) * (d + 1) / np.sqrt(i * (i + 1)), np.float32))
        columns = [self._column(scaled, j) for j in range(d)]
        sums = [op.Mul(columns[0], constant(op, 0, np.float32))]
        for column in reversed(columns):
            sums.append(op.Add(sums[-1], column))
        own = [op.Mul(column, constant(op, j + 1, np.float32)) for j, column in enumerate(columns)]
        elevated = op.Concat(sums[d], *[op.Sub(sums[d - 1 - j], own[j]) for j in range(d)], axis=1)
        rounded = op.Round(op.Mul(elevated, constant(op, 1 / (d + 1), np.float32)))
        rest = op.Sub(elevated, op.Mul(rounded, constant(op, d + 1, np.float32)))
        total = op.Cast(op.ReduceSum(rounded, constant(op, [1]), keepdims=1), to=7)
        rank = op.Add(self._ranks(rest), total)
        wrap = op.Sub(op.Cast(op.Less(rank, constant(op, 0)), to=7), op.Cast(op.Greater(rank, constant(op, d)), to=7))
        rank = op.Add(rank, op.Mul(wrap, constant(op, d + 1)))
        nearest = op.Mul(op.Add(op.Cast(rounded, to=7), wrap), constant(op, d + 1))
        offset = op.Mul(op.Sub(elevated, op.Cast(nearest, to=1)), constant(op, 1 / (d + 1), np.float32))
        return nearest, rank, self._barycentric(offset, rank)

    def _column(self, matrix: Any, j: int) -> Any:
        return self._op.Slice(matrix, constant(self._op, [j]), constant(self._op, [j + 1]), constant(self._op, [1]))

    def _ranks(self, rest: Any) -> Any:
        """How many of the others in the row are larger, or as large and before it."""
        op, n = self._op, self._d + 1
        mine, others = op.Unsqueeze(rest, constant(op, [2])), op.Unsqueeze(rest, constant(op, [1]))
        before = constant(op, np.tril(np.ones((n, n), bool), -1)[None], np.bool_)
        ahead = op.Or(op.Greater(others, mine), op.And(op.Equal(others, mine), before))
        return op.ReduceSum(op.Cast(ahead, to=7), constant(op, [2]), keepdims=0)

    def _barycentric(self, offset: Any, rank: Any) -> Any:
        op, d = self._op, self._d
        places = op.Equal(op.Unsqueeze(rank, constant(op, [1])), constant(op, np.arange(d, -1, -1)[None, :, None]))
        chosen = op.Mul(op.Cast(places, to=1), op.Unsqueeze(offset, constant(op, [1])))
        ascending = op.ReduceSum(chosen, constant(op, [2]), keepdims=0)
        first, last = self._column(ascending, 0), self._column(ascending, d)
        between = op.Sub(
            op.Slice(ascending, constant(op, [1]), constant(op, [d + 1]), constant(op, [1])),
            op.Slice(ascending, constant(op, [0]), constant(op, [d]), constant(op, [1])),
        )
        one = constant(op, 1, np.float32)
        return op.Concat(op.Add(op.Sub(one, last), first), between, axis=1)

    def _codes(self, nearest: Any, rank: Any) -> tuple[list[Any], Any]:
        """The corners' vertices as whole numbers, d + 1 times (P,), and the radices (d,) of these numbers.

        All coordinates of a vertex have one remainder k by d + 1: its number is k + (d + 1) * sum of coordinate // (d + 1) * radix.
        """
        op, d = self._op, self._d
        cells = op.Div(nearest, constant(op, d + 1))  # exactly
        first = (constant(op, [0]), constant(op, [d]))
        least = op.Sub(op.ReduceMin(cells, constant(op, [0]), keepdims=0), constant(op, 3))
        extent = op.Add(op.Sub(op.ReduceMax(cells, constant(op, [0]), keepdims=0), least), constant(op, 4))
        radix = [constant(op, [1])]
        for i in range(d - 1):
            radix.append(op.Mul(radix[-1], op.Slice(extent, constant(op, [i]), constant(op, [i + 1]))))
        radices = op.Concat(*radix, axis=0)  # of the first d coordinates, from which the last one follows
        self._forget_weights_of_too_many(op.Slice(extent, *first))
        base = op.Sub(op.Slice(cells, *first, constant(op, [1])), op.Slice(least, *first))
        ranks = op.Slice(rank, *first, constant(op, [1]))
        corners = []
        for k in range(d + 1):
            place = op.Sub(base, op.Cast(op.GreaterOrEqual(ranks, constant(op, d + 1 - k)), to=7))
            number = op.ReduceSum(op.Mul(place, radices), constant(op, [1]), keepdims=0)
            corners.append(op.Add(op.Mul(number, constant(op, d + 1)), constant(op, k)))
        return corners, radices

    def _forget_weights_of_too_many(self, extent: Any) -> None:
        """Let all results be NaN, rather than wrong, where the vertices' numbers would not fit into 63 bits."""
        op = self._op
        many = op.ReduceProd(op.Cast(extent, to=11), keepdims=0)
        fits = op.Less(many, constant(op, 2.0**62 / (self._d + 1), np.float64))
        self._weights = op.Where(fits, self._weights, constant(op, np.nan, np.float32))

    def _find(self, corners: list[Any], radices: Any) -> None:
        """Number the vertices that points touch from 0 in the order of their codes, and find neighbours and corners among them.

        V, one more than the last, is the number of a vertex that no point touches: its row stays 0.
        """
        op, d = self._op, self._d
        codes = op.Concat(*corners, axis=0)
        count = op.Shape(codes)
        ordered, _ = op.TopK(codes, count, largest=0, sorted=1)
        earlier = op.Slice(ordered, constant(op, [0]), op.Sub(count, constant(op, [1])))
        before = op.Concat(constant(op, [-1]), earlier, axis=0)
        self._vertices = op.Compress(ordered, op.Not(op.Equal(ordered, before)), axis=0)
        self._count = op.Shape(self._vertices)
        numbers = self._number(op.Concat(codes, op.Reshape(self._sides(radices), constant(op, [-1])), axis=0))
        ends = constant(op, [np.iinfo(np.int64).max])
        own = op.Reshape(op.Slice(numbers, constant(op, [0]), count), constant(op, [d + 1, -1]))
        self._corners = [op.Gather(own, constant(op, k)) for k in range(d + 1)]
        beside = op.Reshape(op.Slice(numbers, count, ends), constant(op, [2 * d + 2, -1]))
        self._neighbours = [
            [op.Concat(op.Gather(beside, constant(op, side)), self._count, axis=0) for side in (axis, d + 1 + axis)]
            for axis in range(d + 1)
        ]
        self._rows = op.Add(self._count, constant(op, [1]))

    def _sides(self, radices: Any) -> Any:
        """The codes (2 d + 2, V) of what lies ahead of each vertex along each axis, and of what lies behind.

        Ahead is one more in all coordinates, whose remainder after d is 0, and d + 1 less in the axis' own.
        """
        op, d = self._op, self._d
        size = constant(op, d + 1)
        remainder = op.Mod(self._vertices, size)
        carried = op.Sub(op.Mul(op.ReduceSum(radices, keepdims=1), size), size)
        nothing = constant(op, [0])
        up = op.Add(op.Where(op.Equal(remainder, constant(op, d)), carried, nothing), constant(op, 1))
        down = op.Add(op.Where(op.Equal(remainder, constant(op, 0)), carried, nothing), constant(op, 1))
        own = op.Unsqueeze(op.Mul(op.Concat(radices, nothing, axis=0), size), constant(op, [1]))
        ahead, behind = op.Add(self._vertices, up), op.Sub(self._vertices, down)
        first = constant(op, [0])
        return op.Concat(op.Sub(op.Unsqueeze(ahead, first), own), op.Add(op.Unsqueeze(behind, first), own), axis=0)

    def _number(self, codes: Any) -> Any:
        """The numbers of vertices, V for those that are not there: the last that is not larger, found by bisection."""
        op = self._op
        place = op.Mul(codes, constant(op, 0))
        last = op.Sub(self._count, constant(op, 1))
        for step in range(_STEPS - 1, -1, -1):
            tried = op.Add(place, constant(op, 1 << step))
            there = op.Gather(self._vertices, op.Min(tried, last))
            fits = op.And(op.LessOrEqual(tried, last), op.LessOrEqual(there, codes))
            place = op.Where(fits, tried, place)
        return op.Where(op.Equal(op.Gather(self._vertices, place), codes), place, self._count)

    def __call__(self, values: Any) -> Any:
        """Splat, blur, slice: (P, C) to (P, C)."""
        op, d = self._op, self._d
        weights = [self._column(self._weights, k) for k in range(d + 1)]
        width = op.Shape(values, start=1, end=2)
        rows = op.Expand(constant(op, 0, np.float32), op.Concat(self._rows, width, axis=0))
        for corner, weight in zip(self._corners, weights):
            place = op.Unsqueeze(corner, constant(op, [1]))
            rows = op.ScatterND(rows, place, op.Mul(weight, values), reduction="add")
        half = constant(op, 0.5, np.float32)
        for ahead, behind in self._neighbours:
            rows = op.Add(rows, op.Mul(op.Add(op.Gather(rows, ahead), op.Gather(rows, behind)), half))
        parts = [op.Mul(w, op.Gather(rows, c)) for c, w in zip(self._corners, weights)]
        total = parts[0]
        for part in parts[1:]:
            total = op.Add(total, part)
        return op.Mul(total, constant(op, 1 / (1 + 2.0**-d), np.float32))
