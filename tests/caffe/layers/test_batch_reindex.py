"""BatchReindex: items in another order, some of them twice."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_items_by_index() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    layer = """layer { name: "l" type: "BatchReindex" bottom: "x" bottom: "i" top: "y" }"""
    indices = np.array([2, 0, 0, 1], np.float32)
    np.testing.assert_array_equal(run(layer, {"x": x, "i": indices})["y"], x[[2, 0, 0, 1]])
