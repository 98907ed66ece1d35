"""Nets of what refines given scores: a MultiStageMeanfield layer, to be filled in, and a convolutional GRU."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.networks.gru import conv_gru

NET = """
layer {{ name: "u" type: "Input" top: "u" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "q" type: "Input" top: "q" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 3 dim: {width} dim: 8 }} }} }}
layer {{ name: "crf" type: "MultiStageMeanfield" bottom: "u" bottom: "q" bottom: "d" top: "p" {options} }}
"""
COMMON = "num_iterations: 2 theta_alpha: 160 theta_beta: 3 theta_gamma: 3"


def gru_net(
    classes: int, iterations: int, height: int, width: int, batch: int = 1, rate: float = 1, loss: bool = False
) -> Any:
    """Scores, an image and labels as inputs, and the refined scores, blob `pred`; `loss`: their soft-max loss."""
    n = NetSpec()
    for name, channels in (("data", 3), ("scores", classes), ("label", 1)):
        n[name] = L.Input(shape={"dim": [batch, channels, height, width]})
    conv_gru(n, n.scores, classes, iterations, rate)
    if loss:
        n.loss = L.SoftmaxWithLoss(n.pred, n.label)
    net = n.to_proto()
    net.force_backward = True
    return net


def scene(classes: int, height: int, width: int, batch: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels in patches, an image of one grey and some noise for each class, and doubtful scores blurred as a network's are."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(batch, classes, height, width)), (0, 0, 4, 4))
    label = fields.argmax(1)
    grey = np.linspace(-90, 90, classes)[label][:, None]
    image = grey + rng.normal(size=(batch, 3, height, width)) * 5
    clean = np.stack([label == c for c in range(classes)], 1).astype(float)
    blurred = ndimage.gaussian_filter(clean + 0.8 * rng.normal(size=clean.shape), (0, 0, 3, 3))
    return {"data": image, "scores": 8 * blurred, "label": label[:, None].astype(float)}
