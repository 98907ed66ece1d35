"""Windows by axis and by name."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layer_options import RANDOM, run

pytestmark = pytest.mark.usefixtures("compute")


def test_windows_by_axis_and_by_name() -> None:
    image = RANDOM.standard_normal((2, 3, 6, 7)).astype(np.float32)
    for layer_type, made in (("Im2col", ""), ("Convolution", "num_output: 2"), ("Deconvolution", "num_output: 2")):
        layer = f'layer {{{{ name: "l" type: "{layer_type}" bottom: "x" top: "y" convolution_param {{{{ {made} {{}} }}}} }}}}'
        params = (RANDOM.standard_normal((2, 3, 2, 3)).astype(np.float32),) if layer_type == "Convolution" else ()
        params = params or (RANDOM.standard_normal((3, 2, 2, 3)).astype(np.float32),)
        params = () if layer_type == "Im2col" else params
        named = run(
            layer.format("kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0"), {"x": image}, params
        )
        listed = "kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 1 pad: 0"
        np.testing.assert_array_equal(named["y"], run(layer.format(listed), {"x": image}, params)["y"])
        engine = "engine: CAFFE force_nd_im2col: true " if made else ""
        np.testing.assert_array_equal(named["y"], run(layer.format(engine + listed), {"x": image}, params)["y"])
    deeper = image.reshape(1, 2, 3, 6, 7)
    options = "num_output: 2 kernel_size: 2 axis: {}"
    layer = (
        f'layer {{{{ name: "l" type: "Deconvolution" bottom: "x" top: "y" convolution_param {{{{ {options} }}}} }}}}'
    )
    params = (RANDOM.standard_normal((3, 2, 2, 2)).astype(np.float32),)
    flat = run(layer.format(1), {"x": image}, params)["y"]
    np.testing.assert_allclose(run(layer.format(2), {"x": deeper}, params)["y"].reshape(flat.shape), flat, rtol=1e-5)
