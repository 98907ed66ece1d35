"""Im2col beside torch's unfold."""

from __future__ import annotations

import numpy as np
import torch
from support.caffe.layer_options import run


def test_columns_are_those_of_unfold() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7)).astype(np.float32)
    layer = """layer { name: "l" type: "Im2col" bottom: "x" top: "y"
      convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: 2 } }"""
    expected = torch.nn.functional.unfold(torch.from_numpy(x), 3, dilation=2, padding=1, stride=2).numpy()
    np.testing.assert_array_equal(run(layer, {"x": x})["y"].reshape(expected.shape), expected)
