"""BatchNorm: running statistics, which the test phase uses and no solver learns."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layers import one_layer, random

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_batchnorm_accumulates_statistics_that_test_phase_uses() -> None:
    train = one_layer((5, 2, 3), 'type: "BatchNorm" batch_norm_param { moving_average_fraction: 0.5 }', caffe.TRAIN)
    batches = [random(5, 2, 3, seed=s) * 3 + 1 for s in range(3)]
    mean, variance, scale = np.zeros(2), np.zeros(2), 0.0
    for batch in batches:
        train.blobs["x"].data[...] = batch
        train.forward()
        mean = mean * 0.5 + batch.mean((0, 2))
        variance = variance * 0.5 + batch.var((0, 2), ddof=1)
        scale = scale * 0.5 + 1
    test = one_layer((5, 2, 3), 'type: "BatchNorm"')
    test.share_with(train)
    for blob, expected in zip(test.params["l"], (mean, variance, [scale])):
        np.testing.assert_allclose(blob.data, expected, rtol=1e-5)
    test.blobs["x"].data[...] = batches[0]
    test.forward()
    centre, spread = (mean / scale)[:, None], np.sqrt(variance / scale + 1e-5)[:, None]
    np.testing.assert_allclose(test.blobs["y"].data, (batches[0] - centre) / spread, rtol=1e-4, atol=1e-5)


def test_batchnorm_statistics_are_not_learnt() -> None:
    assert one_layer((5, 2, 3), 'type: "BatchNorm"', caffe.TRAIN).lr_mult == [0, 0, 0]
