"""The VGG-16 trunk (Simonyan and Zisserman 2015), and the helpers that every network here uses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def learning(weight: float, bias: float | None = None) -> list[dict[str, float]]:
    """`param` of a layer: learning-rate factors of its weight and of its bias, which does not decay."""
    factors = [{"lr_mult": weight, "decay_mult": 1 if weight else 0}]
    return factors if bias is None else [*factors, {"lr_mult": bias, "decay_mult": 0}]


def conv(bottom: Top, num_output: int, kernel_size: int, pad: int, rate: Sequence[float] = (1, 2), **more: Any) -> Top:
    """A convolution with bias."""
    return L.Convolution(bottom, num_output=num_output, kernel_size=kernel_size, pad=pad, param=learning(*rate), **more)


def interpolated(bottom: Top, num_classes: int, kernel_size: int, stride: int, pad: int) -> Top:
    """Bilinear interpolation to about `stride` times the size, each class by itself, fixed.

    An even kernel of 2 stride with pad stride / 2 divides every pixel; one of 2 stride - 1 with pad stride - 1 puts corners on
    corners.
    """
    return L.Deconvolution(
        bottom,
        param=learning(0),
        convolution_param={
            "num_output": num_classes,
            "group": num_classes,
            "kernel_size": kernel_size,
            "stride": stride,
            "pad": pad,
            "bias_term": False,
            "weight_filler": {"type": "bilinear"},
        },
    )


def max_pool(bottom: Top) -> Top:
    """2 x 2 maxima at stride 2; Caffe rounds the size up."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2)


def narrowed(channels: int, width: float) -> int:
    """So many channels times `width`, at least one."""
    return max(1, round(channels * width))


def trunk(n: NetSpec, bottom: Top, first_pad: int = 1, frozen: Collection[int] = (), width: float = 1) -> Top:
    """Add the thirteen convolutions and five poolings, under their published names; returns pool5.

    first_pad: padding of conv1_1 (100 in the published networks, so that images of any size survive the 7x7 fc6).
    frozen: the blocks (1 to 5) that keep their weights.
    width: factor of the number of channels; VGG-16's weights fit 1 only.
    """
    for block, widths in enumerate(BLOCKS, 1):
        rate = (0, 0) if block in frozen else (1, 2)
        for index, channels in enumerate(widths, 1):
            pad = first_pad if (block, index) == (1, 1) else 1
            n[f"conv{block}_{index}"] = bottom = conv(
                bottom, narrowed(channels, width), kernel_size=3, pad=pad, rate=rate
            )
            n[f"relu{block}_{index}"] = bottom = L.ReLU(bottom, in_place=True)
        n[f"pool{block}"] = bottom = max_pool(bottom)
    return bottom
