"""FCN-32s, FCN-16s and FCN-8s on VGG-16 (Long, Shelhamer and Darrell 2015), as published with CRF-RNN.

The names of the layers with parameters are those of the released 21-class model, whose weights load by name.

The deconvolutions have no filler. Caffe's bilinear filler would fill every pair of classes, since the released shapes
have no group, and the net would upsample the sum of its classes: an all-zero Deconvolution is given diagonal bilinear
weights instead.
"""

from __future__ import annotations

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn.networks.vgg import conv, learning, narrowed, trunk

# conv1_1 pads by 100 pixels, so every map is larger than what it is laid over; where the two coincide follows from the
# paddings, kernels and strides in between (tests/crfasrnn/networks/test_fcn.py derives the numbers).
PAD = 100
OFFSET_POOL4, OFFSET_POOL3 = 5, 9
OFFSET_32S, OFFSET_16S, OFFSET_8S = 19, 27, 31


def crop(bottom: Top, like: Top, offset: int) -> Top:
    """The part of `bottom` that lies over `like`."""
    return L.Crop(bottom, like, crop_param={"axis": 2, "offset": offset})


def upsample(bottom: Top, num_classes: int, factor: int, rate: float, bias: bool = False, **more: str) -> Top:
    """Deconvolution that enlarges by `factor`, its kernel twice as large."""
    return L.Deconvolution(
        bottom,
        param=learning(rate, 2 * rate if bias else None),
        convolution_param={"num_output": num_classes, "kernel_size": 2 * factor, "stride": factor, "bias_term": bias},
        **more,
    )


def coarse_score(n: NetSpec, num_classes: int, width: float) -> Top:
    """The classifier turned convolution: scores at 1/32 of the padded image's size, blob `score`.

    width: factor of the number of channels; the released weights fit 1 only.
    """
    pool5 = trunk(n, n.data, first_pad=PAD, width=width)
    n.fc6 = conv(pool5, narrowed(4096, width), kernel_size=7, pad=0)
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.drop6 = L.Dropout(n.fc6, dropout_ratio=0.5, in_place=True)
    n.fc7 = conv(n.fc6, narrowed(4096, width), kernel_size=1, pad=0)
    n.relu7 = L.ReLU(n.fc7, in_place=True)
    n.drop7 = L.Dropout(n.fc7, dropout_ratio=0.5, in_place=True)
    n.score = conv(n.fc7, num_classes, kernel_size=1, pad=0, name="score-fr")
    return n.score


def fused_pool4(n: NetSpec, num_classes: int, width: float) -> Top:
    """The coarse scores at twice the size plus those of pool4, blob `score-fused`."""
    n["score2"] = upsample(coarse_score(n, num_classes, width), num_classes, factor=2, rate=1, bias=True)
    n["score-pool4"] = conv(n.pool4, num_classes, kernel_size=1, pad=0)
    n["score-pool4c"] = crop(n["score-pool4"], n["score2"], OFFSET_POOL4)
    n["score-fused"] = L.Eltwise(n["score2"], n["score-pool4c"])
    return n["score-fused"]


def fcn32s(n: NetSpec, num_classes: int, width: float = 1) -> Top:
    """Scores of every pixel from pool5 alone."""
    n.bigscore = upsample(coarse_score(n, num_classes, width), num_classes, factor=32, rate=0, name="upsample32")
    n.coarse = crop(n.bigscore, n.data, OFFSET_32S)
    return n.coarse


def fcn16s(n: NetSpec, num_classes: int, width: float = 1) -> Top:
    """Scores of every pixel from pool5 and pool4."""
    n.bigscore = upsample(fused_pool4(n, num_classes, width), num_classes, factor=16, rate=0, name="upsample16")
    n.coarse = crop(n.bigscore, n.data, OFFSET_16S)
    return n.coarse


def fcn8s(n: NetSpec, num_classes: int, width: float = 1) -> Top:
    """Scores of every pixel from pool5, pool4 and pool3."""
    n["score4"] = upsample(fused_pool4(n, num_classes, width), num_classes, factor=2, rate=1)
    n["score-pool3"] = conv(n.pool3, num_classes, kernel_size=1, pad=0)
    n["score-pool3c"] = crop(n["score-pool3"], n["score4"], OFFSET_POOL3)
    n["score-final"] = L.Eltwise(n["score4"], n["score-pool3c"])
    n.bigscore = upsample(n["score-final"], num_classes, factor=8, rate=0, name="upsample")
    n.coarse = crop(n.bigscore, n.data, OFFSET_8S)
    return n.coarse
