"""FCN-8s with a narrow head on VGG-16, for small data sets and small computers.

What differs from the published network: fc6 is a 3x3 convolution with holes and 512 outputs, fc7 has 512; conv1_1 pads
by 1; upsampling is bilinear, class by class (`group`), and fixed. Poolings round sizes up, so every upsampled map is at
least as large as what it is laid over, and all crops start at 0: images of any size pass.

pool5, pool4 and pool3 are scaled to a root mean square of about one before they are scored, as in FCN-8s "at once": in
VGG it is 10, 130 and 630, too much for new layers to learn from at an ordinary rate, and all three learn together here.
"""

from __future__ import annotations

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn.networks.fcn import crop
from crfasrnn.networks.vgg import conv, interpolated, learning, narrowed, trunk

Rate = tuple[float, float]
FROZEN_BLOCKS = (1, 2, 3)
HEAD_WIDTH = 512
NEW_LAYER_RATE, LEARNED_RATE = (10, 20), (1, 2)
SCALE_POOL5 = 0.1
SCALE_POOL4 = 0.01
SCALE_POOL3 = 0.002


def upsample(bottom: Top, num_classes: int, factor: int) -> Top:
    """Bilinear interpolation to `factor` times the size, each class by itself."""
    return interpolated(bottom, num_classes, kernel_size=2 * factor, stride=factor, pad=factor // 2)


def scaled(bottom: Top, factor: float) -> Top:
    """The bottom times a constant."""
    return L.Scale(bottom, filler={"type": "constant", "value": factor}, param=learning(0))


def head(bottom: Top, width: int, kernel_size: int, rate: Rate, dilation: int = 1) -> Top:
    """A convolution that keeps the size and starts from random weights."""
    pad = dilation * (kernel_size - 1) // 2
    filler = {"type": "msra"}
    return conv(bottom, width, kernel_size, pad, rate=rate, dilation=dilation, weight_filler=filler)


def score(bottom: Top, num_classes: int, rate: Rate, **more: str) -> Top:
    """1x1 scores of every class, all equal at the start."""
    filler = {"type": "constant", "value": 0}
    return conv(bottom, num_classes, kernel_size=1, pad=0, rate=rate, weight_filler=filler, **more)


def fcn8s(n: NetSpec, num_classes: int, width: float = 1, rate: Rate = NEW_LAYER_RATE) -> Top:
    """Scores of every pixel, blob `coarse`, N x num_classes x H x W.

    width: factor of the number of channels. rate: learning-rate factors of the layers that VGG-16 lacks, weights and biases.
    """
    pool5 = trunk(n, n.data, frozen=FROZEN_BLOCKS, width=width)
    head_width = narrowed(HEAD_WIDTH, width)
    n["scale-pool5"] = scaled(pool5, SCALE_POOL5)
    n.fc6 = head(n["scale-pool5"], head_width, kernel_size=3, rate=rate, dilation=2)
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.drop6 = L.Dropout(n.fc6, dropout_ratio=0.5, in_place=True)
    n.fc7 = head(n.fc6, head_width, kernel_size=1, rate=rate)
    n.relu7 = L.ReLU(n.fc7, in_place=True)
    n.drop7 = L.Dropout(n.fc7, dropout_ratio=0.5, in_place=True)
    n.score = score(n.fc7, num_classes, rate, name="score-fr")

    n["score2"] = upsample(n.score, num_classes, factor=2)
    n["scale-pool4"] = scaled(n.pool4, SCALE_POOL4)
    n["score-pool4"] = score(n["scale-pool4"], num_classes, rate)
    n["score2c"] = crop(n["score2"], n["score-pool4"], offset=0)
    n["score-fused"] = L.Eltwise(n["score2c"], n["score-pool4"])

    n["score4"] = upsample(n["score-fused"], num_classes, factor=2)
    n["scale-pool3"] = scaled(n.pool3, SCALE_POOL3)
    n["score-pool3"] = score(n["scale-pool3"], num_classes, rate)
    n["score4c"] = crop(n["score4"], n["score-pool3"], offset=0)
    n["score-final"] = L.Eltwise(n["score4c"], n["score-pool3"])

    n.upsample = upsample(n["score-final"], num_classes, factor=8)
    n.coarse = crop(n.upsample, n.data, offset=0)
    return n.coarse


def learned_fcn8s(n: NetSpec, num_classes: int, width: float = 1) -> Top:
    """The same network to be trained on: its head is new no more, and learns as fast as the trunk."""
    return fcn8s(n, num_classes, width, LEARNED_RATE)
