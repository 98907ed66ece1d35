"""Accuracy: NaN, and another axis."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layer_options import LABELS, SCORES, run
from support.caffe.layers import build

pytestmark = pytest.mark.usefixtures("compute")


def test_accuracy_counts_nan_scores_as_wrong() -> None:
    net = build(
        """layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
           layer { name: "l" type: "Accuracy" bottom: "x" bottom: "t" top: "a" }"""
    )
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[np.nan] * 3, [0, 1, 0]], [0, 1]
    net.forward()
    assert net.blobs["a"].data == 0.5


def test_accuracy_axis() -> None:
    layer = 'layer {{ name: "l" type: "Accuracy" bottom: "s" bottom: "y" top: "a" accuracy_param {{ axis: {} }} }}'
    expected = (SCORES.argmax(1) == LABELS).mean()
    assert run(layer.format(1), {"s": SCORES, "y": LABELS})["a"] == pytest.approx(expected)
    last = run(layer.format(-1), {"s": SCORES.transpose(0, 2, 1), "y": LABELS})["a"]
    assert last == pytest.approx(expected)
