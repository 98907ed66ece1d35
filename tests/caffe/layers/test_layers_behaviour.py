"""What layers do beyond one forward and backward: randomness, running statistics, second tops, changing sizes, odd windows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe
from caffe.layers.pooling import Pool
from caffe.layers.registry import layer_class
from caffe.layers.window import Windows
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")


def build(prototxt: str, phase: int = caffe.TEST) -> caffe.Net:
    return caffe.Net(text_format.Parse(prototxt, caffe_pb2.NetParameter()), phase)


def one_layer(shape: tuple[int, ...], layer: str, phase: int = caffe.TEST) -> caffe.Net:
    dims = " ".join(f"dim: {n}" for n in shape)
    return build(
        f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }} '
        f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}',
        phase,
    )


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_dropout_scales_what_it_keeps_and_passes_gradients_through_the_same_mask() -> None:
    caffe.set_random_seed(1)
    net = one_layer((200, 100), 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }', caffe.TRAIN)
    net.blobs["x"].data[...] = 2
    net.forward()
    mask = net.blobs["y"].data.copy()
    np.testing.assert_allclose(np.unique(mask), [0, 2 / 0.7], rtol=1e-6)
    assert abs((mask == 0).mean() - 0.3) < 0.02
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, mask / 2, rtol=1e-6)
    net.forward()
    assert (net.blobs["y"].data != mask).any()
    caffe.set_random_seed(1)
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data, mask)


def test_a_dropout_top_of_its_own_does_not_share_memory() -> None:
    net = one_layer((2, 3), 'type: "Dropout"')
    net.forward()
    net.blobs["y"].data[...] = 5
    assert (net.blobs["x"].data == 0).all()


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


def test_dummydata_draws_anew_unless_constant() -> None:
    net = build(
        """layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {
             shape { dim: 50 } data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }"""
    )
    net.forward()
    first = net.blobs["a"].data.copy()
    net.forward()
    assert (net.blobs["a"].data != first).all()
    assert (net.blobs["b"].data == 2).all()


def test_softmaxloss_gives_probabilities_as_second_top() -> None:
    net = build(
        """layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
           layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" top: "p" }"""
    )
    x = random(2, 3)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = x, [2, 0]
    net.forward()
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(net.blobs["p"].data, p, rtol=1e-5)
    np.testing.assert_allclose(net.blobs["loss"].data, -np.log(p[[0, 1], [2, 0]]).mean(), rtol=1e-5)


def test_accuracy_counts_nan_scores_as_wrong() -> None:
    net = build(
        """layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
           layer { name: "l" type: "Accuracy" bottom: "x" bottom: "t" top: "a" }"""
    )
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[np.nan] * 3, [0, 1, 0]], [0, 1]
    net.forward()
    assert net.blobs["a"].data == 0.5


def test_recurrent_layers_go_on_from_the_last_state_until_cont_is_zero() -> None:
    layers = """layer { name: "x" type: "Input" top: "x" top: "c"
                  input_param { shape { dim: %d dim: 2 dim: 3 } shape { dim: %d dim: 2 } } }
                layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 4
                  weight_filler { type: "uniform" min: -1 max: 1 } } }"""
    whole, halves = build(layers % (4, 4)), build(layers % (2, 2))
    halves.share_with(whole)
    x = random(4, 2, 3)
    whole.blobs["x"].data[...], whole.blobs["c"].data[...] = x, [[0, 0], [1, 1], [1, 0], [1, 1]]
    whole.forward()
    for begin in (0, 2):
        halves.blobs["x"].data[...] = x[begin : begin + 2]
        halves.blobs["c"].data[...] = whole.blobs["c"].data[begin : begin + 2]
        halves.forward()
        np.testing.assert_allclose(halves.blobs["y"].data, whole.blobs["y"].data[begin : begin + 2], atol=1e-6)


RESIZABLE = """force_backward: true
  layer { name: "x" type: "Input" top: "x" input_param { shape { dim: %d dim: 3 dim: %d dim: %d } } }
  layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: 3
    weight_filler { type: "msra" } } }
  layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
  layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
  layer { name: "u" type: "Deconvolution" bottom: "p" top: "u" convolution_param { num_output: 2 kernel_size: 4
    stride: 2 group: 2 bias_term: false weight_filler { type: "bilinear" } } }
  layer { name: "k" type: "Crop" bottom: "u" bottom: "x" top: "y" crop_param { offset: 0 } }"""


def test_nets_follow_their_inputs_size() -> None:
    net = build(RESIZABLE % (1, 8, 8))
    for batch, height, width in ((2, 5, 7), (1, 12, 9), (1, 8, 8)):
        fresh = build(RESIZABLE % (batch, height, width))
        fresh.share_with(net)
        x, gradient = random(batch, 3, height, width), random(batch, 2, height, width, seed=1)
        net.blobs["x"].reshape(batch, 3, height, width)
        for each in (net, fresh):
            each.blobs["x"].data[...] = x
            each.forward()
            each.blobs["y"].diff[...] = gradient
            each.backward()
        assert net.blobs["y"].data.any()
        np.testing.assert_array_equal(net.blobs["y"].data, fresh.blobs["y"].data)
        np.testing.assert_array_equal(net.blobs["x"].diff, fresh.blobs["x"].diff)


def test_relu_may_overwrite_only_when_told_and_nothing_is_recorded() -> None:
    param = text_format.Parse('name: "r" type: "ReLU" bottom: "x" top: "x"', caffe_pb2.LayerParameter())
    layer = layer_class("ReLU", "r")(param, caffe.TEST)
    layer.build([(3,)])
    x = torch.tensor([-1.0, 0.0, 2.0])
    (kept,) = layer.compute([x], [])
    assert kept.data_ptr() != x.data_ptr()
    layer.may_overwrite = True
    (recorded,) = layer.compute([x.clone().requires_grad_()], [])
    assert recorded.requires_grad
    (overwritten,) = layer.compute([x], [])
    assert overwritten.data_ptr() == x.data_ptr()
    assert x.tolist() == [0, 0, 2]


def naive_pool(x: np.ndarray, pool: Pool, average: bool) -> np.ndarray:
    """Pooling cell by cell, as Caffe documents it."""
    (kh, kw), (sh, sw), (ph, pw) = pool.kernel, pool.stride, pool.pad
    height, width = x.shape
    out = pool.output((height, width))
    y = np.zeros(out, np.float32)
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * sh - ph, j * sw - pw
            bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
            cells = x[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            if cells.size:
                y[i, j] = cells.sum() / ((bottom - top) * (right - left)) if average else cells.max()
    return y


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    floor=st.booleans(),
)
def test_pooling_equals_the_definition_for_any_window(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], floor: bool
) -> None:
    pads = (min(pad[0], kernel[0] - 1), min(pad[1], kernel[1] - 1))
    pool = Pool(Windows.pooling(kernel, stride, pads, rounds_up=not floor))
    if min(pool.output(size)) < 1:
        return
    x = torch.from_numpy(random(2, *size) - 5)
    values, index = pool.maximum_with_index(x[None])
    np.testing.assert_array_equal(pool.maximum(x[None])[0], values[0])
    flat = torch.cat([x.reshape(2, -1), torch.zeros(2, 1)], 1)  # index -1, an empty window, gives 0
    np.testing.assert_array_equal(
        flat.gather(1, index[0].reshape(2, -1) % flat.shape[1]).reshape(values[0].shape), values[0]
    )
    for plane in range(2):
        np.testing.assert_allclose(values[0, plane], naive_pool(x[plane].numpy(), pool, False))
        average = pool.average(x[None])[0, plane]
        np.testing.assert_allclose(average, naive_pool(x[plane].numpy(), pool, True), rtol=1e-5, atol=1e-6)


def test_output_size_of_floor_mode() -> None:
    assert Pool(Windows.pooling((2, 2), (2, 2), (0, 0))).output((5, 7)) == (3, 4)
    assert Pool(Windows.pooling((2, 2), (2, 2), (0, 0), rounds_up=False)).output((5, 7)) == (2, 3)


def test_stochastic_pooling_draws_cells_by_value_and_averages_in_test() -> None:
    layer = 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }'
    x = np.tile(np.array([[1, 3], [0, 6]], np.float32), (1, 1, 40, 40))
    caffe.set_random_seed(2)
    train = one_layer(x.shape, layer, caffe.TRAIN)
    train.blobs["x"].data[...] = x
    train.forward()
    drawn = train.blobs["y"].data
    for value in (1, 3, 6):
        assert abs((drawn == value).mean() - value / 10) < 0.05
    assert set(np.unique(drawn)) == {1, 3, 6}
    test = one_layer(x.shape, layer)
    test.blobs["x"].data[...] = x
    test.forward()
    np.testing.assert_allclose(test.blobs["y"].data, 46 / 10, rtol=1e-6)


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


def test_infogain_reads_its_matrix_from_a_file(tmp_path: Path) -> None:
    matrix = np.abs(random(3, 3))
    (tmp_path / "H.binaryproto").write_bytes(caffe.io.array_to_blobproto(matrix[None, None]).SerializeToString())
    net = build(
        f"""layer {{ name: "x" type: "Input" top: "x" top: "t" input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
            layer {{ name: "l" type: "InfogainLoss" bottom: "x" bottom: "t" top: "loss"
                     infogain_loss_param {{ source: "{tmp_path / "H.binaryproto"}" }} }}"""
    )
    x = random(2, 3)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = x, [1, 2]
    net.forward()
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    np.testing.assert_allclose(net.blobs["loss"].data, -(matrix[[1, 2]] * log_p).sum() / 2, rtol=1e-5)


def test_a_log_of_nothing_is_cut_at_the_smallest_float() -> None:
    net = build(
        """force_backward: true
           layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 1 dim: 2 } shape { dim: 1 } } }
           layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" }"""
    )
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[0, 1000]], [0]
    net.forward()
    assert net.blobs["loss"].data == pytest.approx(-math.log(np.finfo(np.float32).tiny))
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, [[-1, 1]])


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
