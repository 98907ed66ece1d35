"""Fillers: bilinear exactly as genuine Caffe's, the others by its statistics over large blobs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from google.protobuf import text_format
from support.reference_data import shared_path

import caffe
from caffe import mode
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.fillers import fill
from caffe.proto import caffe_pb2


def filled(shape: tuple[int, ...], spec: str, seed: int = 1) -> np.ndarray:
    mode.set_random_seed(seed)
    blob = Blob(shape)
    fill(blob, text_format.Parse(spec, caffe_pb2.FillerParameter()))
    return blob.data


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 16, 64])
def test_bilinear_fills_every_pair_as_caffe_does(size: int) -> None:
    with np.load(shared_path("golden", "extras", "bilinear.npz")) as expected:
        values = filled((2, 2, size, size), 'type: "bilinear"')
        np.testing.assert_allclose(values, expected[f"k{size}"], rtol=1e-6, atol=1e-7)


def test_statistics_are_those_of_genuine_caffe() -> None:
    cases = json.loads(shared_path("golden", "extras", "fillers.json").read_text())
    for name, case in cases.items():
        values = filled(tuple(case["shape"]), case["spec"]).astype(np.float64)
        spread = case["std"] + 1e-6
        # Three standard errors of each sample, Caffe's and ours.
        near = 3 * np.sqrt(2 / values.size)
        assert abs(values.mean() - case["mean"]) <= near * spread, name
        assert abs(values.std() - case["std"]) <= 2 * near * spread, name
        assert abs((values == 0).mean() - case["zeros"]) <= near, name
        if "uniform" in name or "xavier" in name or "bilinear" in name or "constant" in name:
            width = case["max"] - case["min"]
            assert abs(values.min() - case["min"]) <= 1e-3 * width + 1e-7, name
            assert abs(values.max() - case["max"]) <= 1e-3 * width + 1e-7, name


def test_positive_unitball_rows_are_positive_and_sum_to_one() -> None:
    values = filled((5, 3, 2), 'type: "positive_unitball"')
    assert (values >= 0).all()
    np.testing.assert_allclose(values.reshape(5, -1).sum(1), 1, rtol=1e-6)


def test_the_same_seed_draws_the_same_numbers() -> None:
    spec = 'type: "gaussian" std: 1'
    np.testing.assert_array_equal(filled((4, 5), spec, seed=7), filled((4, 5), spec, seed=7))
    assert (filled((4, 5), spec, seed=7) != filled((4, 5), spec, seed=8)).any()


def test_shapes_without_axes_are_filled() -> None:
    assert filled((), 'type: "constant" value: 3') == 3
    assert filled((), 'type: "xavier"').shape == ()


@pytest.mark.parametrize(
    ("shape", "spec", "message"),
    [
        ((2, 2), 'type: "bilinear"', "4 dim"),
        ((1, 1, 2, 3), 'type: "bilinear"', "square"),
        ((2,), 'type: "gauss"', "Unknown filler name: gauss .*gaussian"),
    ],
)
def test_unsuitable_fillers_say_why(shape: tuple[int, ...], spec: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        filled(shape, spec)


pytestmark = pytest.mark.usefixtures("compute")


@pytest.mark.parametrize(
    ("layer", "index", "shape"),
    [
        ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 2 bias_filler FILLER }', 1, (2,)),
        (
            'type: "Convolution" convolution_param { num_output: 2 kernel_size: 2 weight_filler FILLER }',
            0,
            (2, 3, 2, 2),
        ),
        ('type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 2 bias_filler FILLER }', 1, (2,)),
        ('type: "InnerProduct" inner_product_param { num_output: 2 weight_filler FILLER }', 0, (2, 75)),
        ('type: "InnerProduct" inner_product_param { num_output: 2 bias_filler FILLER }', 1, (2,)),
        ('type: "Embed" embed_param { num_output: 2 input_dim: 4 weight_filler FILLER }', 0, (4, 2)),
        ('type: "Embed" embed_param { num_output: 2 input_dim: 4 bias_filler FILLER }', 1, (2,)),
        ('type: "PReLU" prelu_param { filler FILLER }', 0, (3,)),
        ('type: "Bias" bias_param { filler FILLER }', 0, (3,)),
        ('type: "Scale" scale_param { filler FILLER }', 0, (3,)),
        ('type: "Scale" scale_param { bias_term: true bias_filler FILLER }', 1, (3,)),
    ],
)
def test_fillers_fill_the_parameter_they_are_for(layer: str, index: int, shape: tuple[int, ...]) -> None:
    text = f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 3 dim: 5 dim: 5 }} }} }}
      layer {{ name: "l" bottom: "x" top: "y" {layer.replace("FILLER", '{ type: "constant" value: 7 }')} }}"""
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    for k, blob in enumerate(net.params["l"]):
        assert (blob.data == 7).all() == (k == index)
    assert net.params["l"][index].shape == shape
