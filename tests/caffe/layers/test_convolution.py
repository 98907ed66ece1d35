"""Convolution against its sum: three dimensions, huge weights, other channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.caffe.layer_errors import IMAGE, net_with
from support.caffe.layers import one_layer, random

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_convolution_in_three_dimensions_equals_its_sum() -> None:
    net = one_layer(
        (2, 2, 4, 5, 6),
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 2 stride: 1 pad: 0 '
        'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } }',
    )
    x = random(2, 2, 4, 5, 6)
    net.blobs["x"].data[...] = x
    net.forward()
    weight, bias = (blob.data for blob in net.params["l"])
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2, 2), (2, 3, 4))
    expected = np.einsum("ncdhwijk,ocijk->nodhw", windows, weight) + bias[None, :, None, None, None]
    np.testing.assert_allclose(net.blobs["y"].data, expected, rtol=1e-4, atol=1e-5)


def test_convolution_with_huge_weights_and_few_positions(tmp_path: Path) -> None:
    # As fc6 of VGG-16: more weights than the library's convolution is good at; against float64.
    (tmp_path / "net.prototxt").write_text(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 520 dim: 7 dim: 9 } } }'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 512 kernel_size: 6 '
        "pad_h: 1 pad_w: 0 stride_h: 2 stride_w: 3 } }"
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 520, 7, 9)).astype(np.float32)
    weight, bias = (blob.data for blob in net.params["c"])
    assert weight.size > 1 << 23
    weight[...] = rng.normal(0, 0.01, weight.shape)
    bias[...] = rng.normal(size=512)
    exact = weight.astype(np.float64)

    def windows(of: np.ndarray) -> np.ndarray:
        padded = np.pad(of.astype(np.float64), ((0, 0), (0, 0), (1, 1), (0, 0)))
        return np.lib.stride_tricks.sliding_window_view(padded, (6, 6), axis=(2, 3))[:, :, ::2, ::3]

    def slid(of: np.ndarray) -> np.ndarray:
        return np.tensordot(windows(of), exact, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)

    expected = slid(x)
    np.testing.assert_allclose(net.forward(x=x)["y"], expected + bias[:, None, None], atol=1e-4)
    diff = rng.normal(size=expected.shape)
    x_diff = net.backward(y=diff)["x"]
    weight_diff, bias_diff = (blob.diff for blob in net.params["c"])
    np.testing.assert_allclose(weight_diff, np.tensordot(diff, windows(x), axes=([0, 2, 3], [0, 2, 3])), atol=1e-4)
    np.testing.assert_allclose(bias_diff, diff.sum((0, 2, 3)), atol=1e-4)
    for place in ((0, 3, 0, 0), (1, 519, 6, 5), (1, 7, 3, 4)):
        unit = np.zeros_like(x)
        unit[place] = 1
        assert x_diff[place] == pytest.approx((diff * slid(unit)).sum(), abs=1e-4)


def test_weights_do_not_fit_another_number_of_channels() -> None:
    for layer, message in (
        (
            'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 }',
            "incompatible with convolution kernel: 5 channels",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 3 }',
            "Input size incompatible with inner product parameters",
        ),
        ('type: "BatchNorm"', "has 5 channels, the statistics are for 4"),
        ('type: "Scale"', "dimension mismatch"),
    ):
        net = net_with([IMAGE], layer)
        net.blobs["in0"].reshape(1, 5, 6, 6)
        with pytest.raises(caffe.CaffeError, match=message):
            net.reshape()


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_a_stride_beyond_the_image_costs_nothing(kind: str) -> None:
    # The library's gradients want memory and time for each cell of a stride, though one window has none beside it.
    shape = (1, 1, 3, 3) if kind == "Convolution" else (1, 1, 1, 1)
    net = one_layer(
        shape,
        f'type: "{kind}" convolution_param {{ num_output: 1 kernel_size: 2 stride: 1000000000 bias_term: false }}',
    )
    net.params["l"][0].data[...] = [[1, 2], [3, 4]]
    x = np.arange(9.0).reshape(shape) + 1 if kind == "Convolution" else np.full(shape, 2.0)
    y = net.forward(x=x)["y"]
    np.testing.assert_array_equal(y.squeeze(), 1 + 4 + 12 + 20 if kind == "Convolution" else [[2, 4], [6, 8]])
    x_diff = net.backward(y=np.ones(y.shape))["x"].squeeze()
    np.testing.assert_array_equal(x_diff, [[1, 2, 0], [3, 4, 0], [0, 0, 0]] if kind == "Convolution" else 10)
