"""The permutohedral lattice as the paper states it, in plain numpy: slow, readable, and the truth the core is held to.

Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice", Eurographics 2010, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vertex = tuple[int, ...]


def embed(feature: NDArray[np.float64]) -> list[tuple[Vertex, float]]:
    """The corners of the simplex around one point (d,), each with the point's barycentric coordinate."""
    d = len(feature)
    # d orthogonal directions of the hyperplane sum(x) = 0 in d + 1 dimensions, scaled for a unit Gaussian.
    elevated = np.zeros(d + 1)
    for i in range(d):
        direction = np.zeros(d + 1)
        direction[: i + 1] = 1
        direction[i + 1] = -(i + 1)
        elevated += feature[i] * direction / np.sqrt((i + 1) * (i + 2)) * (d + 1) * np.sqrt(2 / 3)

    # The remainder-0 point nearest to it: round, then repair the sum where rounding erred most.
    nearest = np.round(elevated / (d + 1)) * (d + 1)
    excess = round(float(nearest.sum()) / (d + 1))
    order = np.argsort(-(elevated - nearest), kind="stable")  # largest difference first
    if excess > 0:
        nearest[order[len(order) - excess :]] -= d + 1
    elif excess < 0:
        nearest[order[:-excess]] += d + 1

    difference = elevated - nearest
    order = np.argsort(-difference, kind="stable")
    ordered = difference[order]
    corners = []
    for k in range(d + 1):
        # The canonical corner of remainder k: k everywhere, k - (d + 1) at the k smallest differences.
        corner = nearest + k
        corner[order[d + 1 - k :]] -= d + 1
        if k == 0:
            weight = 1 - (ordered[0] - ordered[d]) / (d + 1)
        else:
            weight = (ordered[d - k] - ordered[d + 1 - k]) / (d + 1)
        corners.append((tuple(int(x) for x in corner), float(weight)))
    return corners


def splat(
    simplices: list[list[tuple[Vertex, float]]], values: NDArray[np.float64]
) -> dict[Vertex, NDArray[np.float64]]:
    """Every point adds its value (C,) to the corners of its simplex."""
    lattice: dict[Vertex, NDArray[np.float64]] = {}
    for simplex, value in zip(simplices, values):
        for vertex, weight in simplex:
            lattice[vertex] = lattice.get(vertex, np.zeros(values.shape[1])) + weight * value
    return lattice


def blur(lattice: dict[Vertex, NDArray[np.float64]], axes: range) -> dict[Vertex, NDArray[np.float64]]:
    """(1/2, 1, 1/2) along each axis of the lattice in turn; vertices that no point touched count as zero and stay out."""
    for axis in axes:
        blurred = {}
        for vertex, value in lattice.items():
            step = np.ones(len(vertex), dtype=int)
            step[axis] -= len(vertex)
            ahead = lattice.get(tuple(int(x) for x in np.add(vertex, step)), 0.0)
            behind = lattice.get(tuple(int(x) for x in np.subtract(vertex, step)), 0.0)
            blurred[vertex] = value + 0.5 * (ahead + behind)
        lattice = blurred
    return lattice


def slice_(
    simplices: list[list[tuple[Vertex, float]]], lattice: dict[Vertex, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Every point reads the mean of its corners, weighted barycentrically, times 1 / (1 + 2^-d)."""
    d = len(simplices[0]) - 1
    rows = [sum(weight * lattice[vertex] for vertex, weight in simplex) for simplex in simplices]
    return np.stack(rows) / (1 + 2.0**-d)  # type: ignore[arg-type]


def permutohedral_filter(
    values: NDArray[np.float64], features: NDArray[np.float64], reverse: bool = False
) -> NDArray[np.float64]:
    """values (N, C) filtered at features (N, d)."""
    corners = features.shape[1] + 1
    simplices = [embed(feature) for feature in features]
    axes = range(corners)[::-1] if reverse else range(corners)
    return slice_(simplices, blur(splat(simplices, values), axes))
