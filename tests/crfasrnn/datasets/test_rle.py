"""Run lengths and polygons against pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as peer

from crfasrnn.datasets.rle import decode_polygons, decode_rle


def test_runs_and_polygons_agree_with_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        height, width = rng.integers(1, 40, 2)
        mask = np.asfortranarray(rng.random((height, width)) < rng.random(), np.uint8)
        text = peer.encode(mask)["counts"].decode()
        np.testing.assert_array_equal(decode_rle(text, height, width), mask)
        points = (rng.random(10) * np.tile([width, height], 5)).tolist()
        expected = peer.decode(peer.merge(peer.frPyObjects([points], int(height), int(width))))
        np.testing.assert_array_equal(decode_polygons([points], int(height), int(width)), expected)


@pytest.mark.parametrize(
    "counts", [[5, 5], [5, 1000], [-5, 105], [1e2], [True, 99], "ooooooo0", "o" * 4000, "\xff", "3", None, {}, [[100]]]
)
def test_runs_that_do_not_fill_the_mask_are_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="run"):
        decode_rle(counts, 10, 10)


@pytest.mark.parametrize(
    "polygons",
    [5, None, [[]], [[0, 0, 1]], [["0", 0, 1, 1, 2, 2]], [[float("nan"), 0, 1, 1, 2, 2]], [[0, 0, 1e9, 0, 1e9, 1e9]],
     [[0, 0, 10, 10] * 60_000]],
)  # fmt: skip
def test_polygons_that_are_none_are_refused(polygons: object) -> None:
    with pytest.raises(ValueError, match="polygon"):
        decode_polygons(polygons, 10, 10)


def test_points_and_lines_enclose_nothing() -> None:
    assert decode_polygons([[1, 1], [2, 2, 5, 5]], 10, 10).sum() == 0


@pytest.mark.parametrize(("height", "width"), [(2**31, 1), (1, 2**31), (0, 5), (-1, 5), (10_000, 10_000)])
def test_masks_of_impossible_sizes_are_refused(height: int, width: int) -> None:
    """pycocotools dies of the first two."""
    with pytest.raises(ValueError, match="masks have 1 to"):
        decode_polygons([[0, 0, 0, 1, 1, 1]], height, width)
    with pytest.raises(ValueError, match="masks have 1 to"):
        decode_rle([height * width], height, width)


@pytest.mark.parametrize("size", [np.uint64(2**64 - 1), 10**30, np.float32(3e38)])
def test_sizes_beyond_any_number_of_c_are_refused(size: Any) -> None:
    for decode in (decode_rle, decode_polygons):
        with pytest.raises(ValueError, match="masks have 1 to"):
            decode([], 4, size)
