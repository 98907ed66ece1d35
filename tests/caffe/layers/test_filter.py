"""Filter: items of all bottoms that a selector keeps."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_items_whose_selector_is_not_zero() -> None:
    x, label, selector = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4, dtype=np.float32), [0, 1, 0, 1]
    layer = """layer { name: "l" type: "Filter" bottom: "x" bottom: "label" bottom: "s" top: "y" top: "z" }"""
    found = run(layer, {"x": x, "label": label, "s": np.array(selector, np.float32)})
    np.testing.assert_array_equal(found["y"], x[[1, 3]])
    np.testing.assert_array_equal(found["z"], [1, 3])
