"""DeepLabv3 on MobileNetV2 (Chen et al. 2017; Sandler et al. 2018) at output stride 16, in BVLC Caffe's own layer types.

Layers with weights are called as in the published model, whose batch normalisation is folded into its convolutions; it takes RGB
from -1 to 1. The image comes as in every network here, BGR minus the mean of ImageNet's photographs, and is brought to that without
weights (`rgb`). The network scores the points 0, 16, 32, ... of rows and columns: for the last of them to lie at or beyond the
border, the image is continued by zeros to 16 k + 1 rows and columns (`canvas`). What is interpolated between the points, with
aligned corners, is cropped to the image, so that nothing behind it sees the continuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P
from caffe.proto.model_file import LayerBlobs
from crfasrnn.classes import MEAN_BGR
from crfasrnn.networks.fcn import crop
from crfasrnn.networks.vgg import conv, interpolated, learning, narrowed

STRIDE = 16  # of the scores
_MIDDLE = 127.5  # the published model takes (RGB - 127.5) / 127.5
_ASPP_WIDTH = 256
# Learning-rate factors of weights and biases: on a few hundred photographs the backbone forgets quickly what it learned on COCO.
_HEAD_RATE, _BACKBONE_RATE = (1, 0.5), (0.04, 0.02)
_PROJECTION, _OF_IMAGE = "concat_projection", "concat_projection_image"


@dataclass(frozen=True)
class Block:
    """An inverted residual block: 1 x 1 to `expansion` times as many channels, 3 x 3 each by itself, 1 x 1 to `channels`."""

    channels: int
    stride: int = 1
    dilation: int = 1
    expansion: int = 6


_FIRST_WIDTH = 32
# Where the published classifier would go on from stride 16 to 32, windows have holes instead.
_BLOCKS = (
    Block(16, expansion=1),
    *(Block(24, stride=2), Block(24)),
    *(Block(32, stride=2), Block(32), Block(32)),
    *(Block(64, stride=2), Block(64), Block(64), Block(64)),
    *(Block(96), Block(96), Block(96)),
    *(Block(160), Block(160, dilation=2), Block(160, dilation=2)),
    Block(320, dilation=2),
)


def deeplab(n: NetSpec, num_classes: int, width: float = 1) -> Top:
    """Scores of every pixel, blob `coarse`, N x num_classes x H x W; `width`: factor of the number of channels."""
    features = backbone(n, canvas(n), width)
    aspp_width = narrowed(_ASPP_WIDTH, width)
    n.average = L.Pooling(features, pool=P.Pooling.AVE, global_pooling=True)
    n.image_pooling = conv(n.average, aspp_width, 1, 0, _HEAD_RATE)
    n.image_pooling_relu = L.ReLU(n.image_pooling, in_place=True)
    n.aspp0 = conv(features, aspp_width, 1, 0, _HEAD_RATE)
    n.aspp0_relu = L.ReLU(n.aspp0, in_place=True)
    # The published convolution of both side by side: the part of the image's average is the same at every point.
    n[_OF_IMAGE] = conv(n.image_pooling, aspp_width, 1, 0, rate=_HEAD_RATE[:1], bias_term=False)
    n.image_projection = L.Flatten(n[_OF_IMAGE])
    n[_PROJECTION] = conv(n.aspp0, aspp_width, 1, 0, _HEAD_RATE)
    n.fused = L.Bias(n[_PROJECTION], n.image_projection, axis=0)
    n.fused_relu = L.ReLU(n.fused, in_place=True)
    n.logits_semantic = conv(n.fused, num_classes, 1, 0, _HEAD_RATE)
    n.upsample = interpolated(n.logits_semantic, num_classes, kernel_size=2 * STRIDE - 1, stride=STRIDE, pad=STRIDE - 1)
    n.coarse = crop(n.upsample, n.data, offset=0)
    return n.coarse


def from_published(layers: Sequence[LayerBlobs]) -> list[LayerBlobs]:
    """The weights of the published model as those of this network, where a layer of its own projects the image's average.

    Layers of other names and networks stay as they are.
    """
    found = []
    for layer in layers:
        if layer.name != _PROJECTION or len(layer.blobs) != 2 or layer.blobs[0].ndim != 4:
            found.append(layer)
            continue
        weight, bias = layer.blobs
        of_image = weight.shape[1] // 2
        found += [
            LayerBlobs(_OF_IMAGE, layer.type, [weight[:, :of_image]]),
            LayerBlobs(_PROJECTION, layer.type, [weight[:, of_image:], bias]),
        ]
    return found


def is_whole(layers: Sequence[LayerBlobs]) -> bool:
    """Whether these are the weights of the network, from its first convolution to its scores."""
    return {"Conv", _OF_IMAGE, "logits_semantic"} <= {layer.name for layer in layers}


def canvas(n: NetSpec) -> Top:
    """The image as RGB from -1 to 1, at the top left of 16 k + 1 rows and columns of zeros, blob `canvas`."""
    n.blue, n.green, n.red = L.Slice(n.data, ntop=3, axis=1, name="channels")
    channels = []
    for name, mean in reversed(list(zip(("blue", "green", "red"), MEAN_BGR))):
        n[f"{name}_scaled"] = L.Power(n[name], scale=1 / _MIDDLE, shift=(mean - _MIDDLE) / _MIDDLE)
        channels.append(n[f"{name}_scaled"])
    n.rgb = L.Concat(*channels, axis=1)
    # k + 1 points in each direction, the last of them at or beyond the border, and from them the canvas's size.
    n.points = _constant(L.Convolution, n.data, 0, num_output=1, kernel_size=2, stride=STRIDE, pad=STRIDE // 2)
    n.extent = _constant(L.Deconvolution, n.points, 1, num_output=1, kernel_size=1, stride=STRIDE)
    n.framed = _constant(L.Convolution, n.rgb, 1, num_output=3, group=3, kernel_size=1, pad=STRIDE - 1)
    n.canvas = crop(n.framed, n.extent, offset=STRIDE - 1)
    return n.canvas


def backbone(n: NetSpec, bottom: Top, width: float = 1) -> Top:
    """MobileNetV2 at depth multiplier 1 behind the canvas; returns its 320 channels at one point of sixteen in each direction."""
    channels = narrowed(_FIRST_WIDTH, width)
    bottom = _relu6(n, conv(bottom, channels, 3, 1, _BACKBONE_RATE, stride=2), "Conv")
    for index, block in enumerate(_BLOCKS):
        name = f"expanded_conv_{index}" if index else "expanded_conv"
        before, inner = bottom, block.expansion * channels
        if block.expansion > 1:
            bottom = _relu6(n, conv(bottom, inner, 1, 0, _BACKBONE_RATE), f"{name}_expand")
        each = {"group": inner, "stride": block.stride, "dilation": block.dilation}
        depthwise = conv(bottom, inner, 3, block.dilation, _BACKBONE_RATE, **each)
        bottom = _relu6(n, depthwise, f"{name}_depthwise")
        joins = block.stride == 1 and narrowed(block.channels, width) == channels and index > 0
        channels = narrowed(block.channels, width)
        n[f"{name}_project"] = bottom = conv(bottom, channels, 1, 0, _BACKBONE_RATE)
        if joins:
            n[f"{name}_add"] = bottom = L.Eltwise(before, bottom)
    return bottom


def _relu6(n: NetSpec, bottom: Top, name: str) -> Top:
    n[name] = bottom
    n[f"{name}_relu6"] = L.Clip(bottom, min=0, max=6, in_place=True)
    return n[f"{name}_relu6"]


def _constant(layer: Any, bottom: Top, value: float, **fields: Any) -> Top:
    """A convolution whose weights are one value, and which learns nothing."""
    filler = {"type": "constant", "value": value}
    return layer(bottom, param=learning(0), convolution_param={**fields, "bias_term": False, "weight_filler": filler})
