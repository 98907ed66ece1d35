"""Crop offsets from coordinate maps, against the offsets of the published prototxts and hand-computed ones."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from caffe.coord_map import crop_offsets
from caffe.errors import CaffeError
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
    assert crop_offsets(definition, len(definition.layer) - 1) == (19, 19)


def test_offsets_may_differ_by_axis() -> None:
    text = DATA + (
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
        "convolution_param { kernel_h: 3 kernel_w: 3 pad_h: 4 pad_w: 2 } }\n"
    )
    definition = net(text + crop("conv", "data"))
    assert crop_offsets(definition, 2) == (3, 1)


def test_dilation_widens_the_window() -> None:
    text = DATA + (
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
        "convolution_param { kernel_size: 3 dilation: 4 pad: 6 } }\n"
    )
    assert crop_offsets(net(text + crop("conv", "data")), 2) == (2, 2)


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
