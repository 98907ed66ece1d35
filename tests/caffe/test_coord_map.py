"""Crop offsets from coordinate maps, against the offsets of the published prototxts and hand-computed ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import coord_map_from_to, crop_offsets
from caffe.coord_map import crop as crop_layer
from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2


def net(text: str) -> caffe_pb2.NetParameter:
    return text_format.Parse(text, caffe_pb2.NetParameter())


def window(kind: str, name: str, bottom: str, kernel: int, stride: int = 1, pad: int = 0) -> str:
    field = "pooling_param" if kind == "Pooling" else "convolution_param"
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" '
        f"{field} {{ kernel_size: {kernel} stride: {stride} pad: {pad} }} }}\n"
    )


def crop(bottom: str, reference: str) -> str:
    return f'layer {{ name: "crop" type: "Crop" bottom: "{bottom}" bottom: "{reference}" top: "cropped" }}\n'


DATA = 'layer { name: "data" type: "Input" top: "data" }\n'


def test_fcn32s_offset_is_19() -> None:
    # Long et al.'s FCN-32s: pad 100, five 2x poolings, fc6 7x7, upsampling 64x64 stride 32; their prototxt says offset 19.
    text = DATA + window("Convolution", "conv1", "data", 3, pad=100)
    bottom = "conv1"
    for i in range(5):
        text += window("Pooling", f"pool{i}", bottom, 2, 2)
        bottom = f"pool{i}"
    text += window("Convolution", "fc6", bottom, 7) + window("Deconvolution", "up", "fc6", 64, 32) + crop("up", "data")
    definition = net(text)
    assert crop_offsets(definition, len(definition.layer) - 1) == (2, (19,))


def test_offsets_may_differ_by_axis() -> None:
    text = DATA + (
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
        "convolution_param { kernel_h: 3 kernel_w: 3 pad_h: 4 pad_w: 2 } }\n"
    )
    definition = net(text + crop("conv", "data"))
    assert crop_offsets(definition, 2) == (2, (3, 1))


def test_dilation_widens_the_window() -> None:
    text = DATA + (
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
        "convolution_param { kernel_size: 3 dilation: 4 pad: 6 } }\n"
    )
    assert crop_offsets(net(text + crop("conv", "data")), 2) == (2, (2,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DATA + window("Convolution", "conv", "data", 3, pad=0) + crop("conv", "data"), "offset would be -1"),
        (DATA + window("Pooling", "pool", "data", 2, 2) + crop("pool", "data"), "differ in scale"),
        (DATA + window("Convolution", "conv", "data", 2, pad=1) + crop("conv", "data"), "offset would be 1/2"),
        (DATA + 'layer { name: "other" type: "Input" top: "other" }\n' + crop("other", "data"), "no blob is connected"),
    ],
)
def test_impossible_alignment_is_explained(text: str, words: str) -> None:
    definition = net(text)
    with pytest.raises(CaffeError, match=words) as caught:
        crop_offsets(definition, len(definition.layer) - 1)
    assert "crop" in str(caught.value)
    assert "crop_param" in str(caught.value)


def fcn_trunk() -> tuple[Top, Top, Top, Top]:
    """The spatial skeleton of the FCNs of Long et al.: data, pool3, pool4 and fc7 of VGG-16 with pad 100."""
    data = L.Input(shape={"dim": [1, 3, 500, 500]})
    bottom, pools = data, []
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            bottom = L.Convolution(bottom, num_output=2, kernel_size=3, pad=1 if bottom is not data else 100)
            bottom = L.ReLU(bottom, in_place=True)
        bottom = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2)
        pools.append(bottom)
    fc7 = L.Convolution(L.Convolution(bottom, num_output=2, kernel_size=7), num_output=2, kernel_size=1)
    return data, pools[2], pools[3], L.Dropout(fc7, in_place=True)


def upsampled(top: Top, factor: int) -> Top:
    return L.Deconvolution(
        top, convolution_param={"num_output": 2, "kernel_size": 2 * factor, "stride": factor, "bias_term": False}
    )


def offset_of(cropped: Top) -> tuple[int, list[int]]:
    param = cropped.to_proto().layer[-1].crop_param
    return param.axis, list(param.offset)


def test_crop_gives_the_published_offsets() -> None:
    data, pool3, pool4, fc7 = fcn_trunk()
    assert offset_of(crop_layer(upsampled(fc7, 32), data)) == (2, [19])
    # FCN-16s: offsets 5 and 27; FCN-8s: 5, 9 and 31.
    up2 = upsampled(fc7, 2)
    score4 = crop_layer(L.Convolution(pool4, num_output=2, kernel_size=1), up2)
    assert offset_of(score4) == (2, [5])
    fused4 = L.Eltwise(up2, score4, operation=P.Eltwise.SUM)
    assert offset_of(crop_layer(upsampled(fused4, 16), data)) == (2, [27])
    up4 = upsampled(fused4, 2)
    score3 = crop_layer(L.Convolution(pool3, num_output=2, kernel_size=1), up4)
    assert offset_of(score3) == (2, [9])
    fused3 = L.Eltwise(up4, score3, operation=P.Eltwise.SUM)
    assert offset_of(crop_layer(upsampled(fused3, 8), data)) == (2, [31])


def test_crop_in_a_net_spec() -> None:
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 8, 9]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_h=3, kernel_w=3, pad_h=4, pad_w=2)
    n.score = crop_layer(n.conv, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.name, layer.type, list(layer.bottom)) == ("score", "Crop", ["conv", "data"])
    assert (layer.crop_param.axis, list(layer.crop_param.offset)) == (2, [3, 1])


def test_maps_between_tops() -> None:
    data, pool3, _, fc7 = fcn_trunk()
    axis, scale, shift = coord_map_from_to(data, pool3)
    assert axis == 1
    # Three poolings: pixel 0 of pool3 lies amid 8 pixels, 99 into the border that conv1_1 adds around the image.
    np.testing.assert_allclose([*scale, *shift], [1 / 8, (99 - 3.5) / 8])
    _, scale, shift = coord_map_from_to(upsampled(fc7, 32), data)
    np.testing.assert_allclose([*scale, *shift], [1, -19])
    wide = L.Convolution(data, num_output=1, kernel_h=1, kernel_w=3, stride_h=2, stride_w=4)
    _, scale, shift = coord_map_from_to(wide, data)
    np.testing.assert_allclose([scale, shift], [[2, 4], [0, 1]])


def test_impossible_crops_are_refused() -> None:
    data, _, pool4, _ = fcn_trunk()
    # pycaffe's helper asserts these, and scripts catch that.
    for misfit, words in (
        (pool4, "differ in scale"),
        (L.Convolution(data, num_output=1, kernel_size=3), "offset would be -1"),
        (L.Convolution(data, num_output=1, kernel_size=2, pad=1), "offset would be 1/2"),
    ):
        with pytest.raises(AssertionError, match=words) as caught:
            crop_layer(misfit, data)
        assert isinstance(caught.value, CaffeError)
    with pytest.raises(CaffeError, match="no blob is connected"):
        crop_layer(L.Input(), data)
    with pytest.raises(CaffeError, match="no blob is connected"):
        coord_map_from_to(L.InnerProduct(data, num_output=2), data)


@caffe.register_layer("Sharpen")
class Sharpen(caffe.Layer):
    """A layer from outside that says of itself that it keeps coordinates."""

    keeps_coordinates = True


@caffe.register_layer("Scatter")
class Scatter(caffe.Layer):
    """A layer from outside that says nothing."""


def test_layers_from_outside_say_whether_they_keep_coordinates() -> None:
    through = (
        DATA
        + """layer { name: "w" type: "%s" bottom: "data" top: "w" }
        layer { name: "p" type: "Convolution" bottom: "data" top: "p" convolution_param { kernel_size: 5 } }
        layer { name: "c" type: "Crop" bottom: "w" bottom: "p" top: "c" }"""
    )
    assert crop_offsets(net(through % "Sharpen"), 3) == (2, (2,))
    for layer_type in ("Scatter", "NoSuchType"):
        with pytest.raises(CaffeError, match="'c'"):
            crop_offsets(net(through % layer_type), 3)


def volume(**window: object) -> tuple[Top, Top]:
    """A net over images of three spatial axes, as BVLC's test_nd_conv has it: its input and its end."""
    data = L.Input(shape={"dim": [2, 3, 30, 30, 30]})
    conv = L.Convolution(data, num_output=10, **window)
    pool = L.Pooling(conv, pool=P.Pooling.MAX, kernel_size=2, stride=2, pad=0)
    return data, L.Deconvolution(pool, convolution_param={"num_output": 10, "kernel_size": 4, "stride": 2, "pad": 0})


def test_maps_of_three_axes() -> None:
    data, end = volume(kernel_size=[3, 3, 3], stride=[1, 1, 1], pad=[0, 1, 2])
    axis, scale, shift = coord_map_from_to(end, data)
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1, 1, 1], [0, -1, -2])
    axis, scale, shift = coord_map_from_to(data, end)
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1, 1, 1], [0, 1, 2])
    assert offset_of(crop_layer(end, data)) == (2, [0, 1, 2])
    # A cut of its own further down is followed, too.
    cut = L.Crop(end, data, crop_param={"axis": 2, "offset": [0, 1, 1]})
    assert coord_map_from_to(cut, data)[2].tolist() == [0, 0, -1]


def test_a_cut_of_three_axes_lies_where_the_map_says() -> None:
    """An impulse is moved by a convolution with padding, and cut back to where it was."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 6, 7, 8]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=[2, 3, 4])
    n.back = crop_layer(n.conv, n.data)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.params["conv"][0].data[0, 0, 1, 1, 1] = 1
    values = np.random.default_rng(0).random((1, 1, 6, 7, 8), np.float32)
    np.testing.assert_array_equal(net.forward(data=values)["back"], values)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            lambda data: L.Convolution(volume(kernel_size=[3, 3, 3], pad=[0, 1, 2])[1], kernel_size=1),
            "no blob is connected",
        ),
        (lambda data: L.Convolution(data, kernel_size=[3, 3, 1], pad=[0, 1, 2]), "of 2 and of 3 spatial axes"),
        (lambda data: L.Convolution(data, kernel_size=3, axis=2), "behind axis 1 and behind axis 2"),
        (lambda data: L.Convolution(data, kernel_size=3, axis=-3), "counted from the front, not -3"),
        (lambda data: L.Crop(data, data, crop_param={"axis": 3, "offset": [1]}), "behind axis 1 and behind axis 2"),
    ],
)
def test_axes_that_do_not_go_together(end: Callable[[Top], Top], words: str) -> None:
    data = L.Input()
    flat = L.Convolution(data, kernel_size=[1, 3], pad=[0, 2])
    with pytest.raises(CaffeError, match=words) as caught:
        coord_map_from_to(end(flat), data)
    assert isinstance(caught.value, AssertionError) == ("axis" in words or "front" in words or "axes" in words)
