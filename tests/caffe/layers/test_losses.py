"""Losses of pairs of blobs, against their formulas."""

from __future__ import annotations

import numpy as np
from support.caffe.layer_options import run


def test_formulas() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    targets, classes = (y > 0).astype(np.float32), np.array([0, 4, 2, 2], np.float32)
    margins = 1 - np.where(np.arange(5) == classes[:, None], x, -x)
    for layer_type, other, expected in (
        ("EuclideanLoss", y, ((x - y) ** 2).sum() / 8),
        ("SigmoidCrossEntropyLoss", targets, (np.logaddexp(0, x) - targets * x).sum() / 4),
        ("HingeLoss", classes, np.maximum(margins, 0).sum() / 4),
    ):
        layer = f'layer {{ name: "l" type: "{layer_type}" bottom: "x" bottom: "t" top: "loss" }}'
        assert np.isclose(run(layer, {"x": x, "t": other})["loss"], expected, rtol=1e-5), layer_type


def test_contrastive_loss_pulls_alike_pairs_and_pushes_others_to_the_margin() -> None:
    a, b, alike = (
        np.zeros((2, 2), np.float32),
        np.array([[0.3, 0.4], [0.3, 0.4]], np.float32),
        np.array([1, 0], np.float32),
    )
    layer = """layer { name: "l" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "s" top: "loss"
      contrastive_loss_param { margin: 2 } }"""
    # Distance 0.5: 0.25 for the pair that is alike, (2 - 0.5)^2 for the other, over twice the number of pairs.
    assert np.isclose(run(layer, {"a": a, "b": b, "s": alike})["loss"], (0.25 + 1.5**2) / 4)
