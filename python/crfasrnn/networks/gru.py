"""A convolutional GRU behind any network's scores: the recurrence that the paper's last paragraph wonders about, not a CRF's.

It refines means of 2 x 2 pixels; what it changes is interpolated and added to the scores. The state h is these scores, which start
as the network's, U. With q = softmax(h), the image's difference d to its local mean, and F a learned window of 3 x 3 values two
apart, for each class its own (products are of each place and class, V and W mix channels):

    z = sigmoid(a_z q + V_z |d| + b_z)      how much is renewed, seeing edges
    r = sigmoid(a_r q + V_r d + b_r)        on which side of its surroundings a place lies
    c = r (2 + W_1) F(r q) + (1 - r) (2 + W_2) F((1 - r) q)
    h = (1 - z) h + z (U + c)

As in any GRU the reset gate r says what of the state the candidate c hears. Here it hears the rest, too, but apart, so that places
listen to those on their side of an edge, as the CRF's bilateral kernel lets them. W_1 and W_2 are what the kernels' weights and the
compatibility are to mean field. There are 2 C^2 + 19 C parameters (1,281 for 21 classes; the CRF has 1,323), the same in all
iterations; the start, W = 0, is a mild smoothing. All layers are Caffe's own.
"""

from __future__ import annotations

from typing import Any

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P
from crfasrnn.networks.fcn import crop
from crfasrnn.networks.vgg import interpolated

# How the names of its layers begin.
PREFIX = "gru"

_COLOURS = 3
_FACTOR = 2  # pixels of the image to one of the recurrence
_SURROUNDINGS = 8  # side of the cells whose means, interpolated, are the local mean
_CONTRAST = 32  # grey levels that are a large difference to it
_WINDOW, _DILATION = 3, 2
_SMOOTHING = 2  # what W is added to
_RENEWAL = -1  # b_z at the start: a quarter is renewed
_SIDE = 1  # V_r at the start: bright places listen to bright ones


def conv_gru(n: NetSpec, scores: Top, num_classes: int, iterations: int, rate: float) -> Top:
    """Add `iterations` steps of the recurrence behind the scores (N x C x H x W), steered by the image; returns blob `pred`.

    rate: learning-rate factor of W, V, a and b; that of the windows, whose values are ten times smaller, is a tenth of it.
    """
    n.gru_image = _means(n.data, _FACTOR)
    n.gru_contrast = _contrast(n, n.gru_image)
    n.gru_edges = L.AbsVal(n.gru_contrast)
    n.gru_renewal = _of_image(n.gru_edges, num_classes, rate, start=0, bias=_RENEWAL)
    n.gru_side = _of_image(n.gru_contrast, num_classes, rate, start=_SIDE, bias=0)
    n.gru_scores = state = _means(scores, _FACTOR)
    for step in range(1, iterations + 1):
        state = _renewed(n, f"{PREFIX}{step}", state, num_classes, rate)
    n.gru_gain = _sum(state, n.gru_scores, coeff=(1, -1))
    n.gru_gain_there = _enlarged(n, "gru_gain", scores, num_classes, _FACTOR)
    n.pred = _sum(scores, n.gru_gain_there)
    return n.pred


def _contrast(n: NetSpec, image: Top) -> Top:
    """The image's difference to its local mean, about one where it is large."""
    # Beyond the border there is nothing: interpolated means are divided by interpolated ones.
    n.gru_ones = L.Power(image, scale=0, shift=1)
    for name, of in (("gru_means", image), ("gru_weights", n.gru_ones)):
        n[name] = _means(of, _SURROUNDINGS)
        n[f"{name}_there"] = _enlarged(n, name, image, _COLOURS, _SURROUNDINGS)
    n.gru_inverse = L.Power(n.gru_weights_there, power=-1)
    n.gru_surroundings = _product(n.gru_means_there, n.gru_inverse)
    return _sum(image, n.gru_surroundings, coeff=(1 / _CONTRAST, -1 / _CONTRAST))


def _renewed(n: NetSpec, name: str, state: Top, num_classes: int, rate: float) -> Top:
    """The state after one more iteration."""
    n[f"{name}_q"] = q = L.Softmax(state)
    for gate in ("renewal", "side"):
        n[f"{name}_{gate}_own"] = own = _each(q, num_classes, 0, _learned(f"{gate}_own", rate))
        n[f"{name}_{gate}_sum"] = total = _sum(own, n[f"gru_{gate}"])
        n[f"{name}_{gate}"] = L.Sigmoid(total, in_place=True)
    z, r = n[f"{name}_renewal"], n[f"{name}_side"]
    n[f"{name}_same"] = same = _product(r, q)
    n[f"{name}_other"] = other = _sum(q, same, coeff=(1, -1))
    heard, rest = (_heard(n, name, side, of, num_classes, rate) for side, of in (("same", same), ("other", other)))
    n[f"{name}_between"] = between = _sum(heard, rest, coeff=(1, -1))
    n[f"{name}_sided"] = sided = _product(r, between)
    n[f"{name}_change"] = change = _sum(n.gru_scores, rest, sided, state, coeff=(1, 1, 1, -1))
    n[f"{name}_step"] = step = _product(z, change)
    n[f"{name}_state"] = renewed = _sum(state, step)
    return renewed


def _heard(n: NetSpec, name: str, side: str, probabilities: Top, num_classes: int, rate: float) -> Top:
    """(2 + W) F of the probabilities on one side."""
    wide = {"kernel_size": _WINDOW, "dilation": _DILATION, "pad": _DILATION * (_WINDOW // 2)}
    learned = _learned("window", rate / 10)
    n[f"{name}_{side}_window"] = window = _each(probabilities, num_classes, 1 / _WINDOW**2, learned, **wide)
    n[f"{name}_{side}_mixed"] = mixed = L.Convolution(
        window,
        param=_learned(side, rate),
        convolution_param={
            "num_output": num_classes,
            "kernel_size": 1,
            "bias_term": False,
            "weight_filler": _constant(0),
        },
    )
    n[f"{name}_{side}_heard"] = heard = _sum(mixed, window, coeff=(1, _SMOOTHING))
    return heard


def _each(bottom: Top, num_classes: int, start: float, param: list[dict[str, Any]], **window: int) -> Top:
    """A convolution of each class by itself. (For one pixel not Scale, which in genuine Caffe forgets what others that share its
    parameter added to the gradient.)"""
    fields = {"num_output": num_classes, "group": num_classes, "bias_term": False, "weight_filler": _constant(start)}
    return L.Convolution(bottom, param=param, convolution_param={"kernel_size": 1, **fields, **window})


def _of_image(channels: Top, num_classes: int, rate: float, start: float, bias: float) -> Top:
    """What a gate sees of the image: V and b."""
    return L.Convolution(
        channels,
        param=[{"lr_mult": rate, "decay_mult": 0}] * 2,
        convolution_param={
            "num_output": num_classes,
            "kernel_size": 1,
            "weight_filler": _constant(start),
            "bias_filler": _constant(bias),
        },
    )


def _means(bottom: Top, side: int) -> Top:
    """Means of cells; those at the border may be smaller."""
    return L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=side, stride=side)


def _enlarged(n: NetSpec, name: str, like: Top, channels: int, factor: int) -> Top:
    """Blob `name`, interpolated to lie over `like`."""
    n[f"{name}_up"] = enlarged = interpolated(n[name], channels, 2 * factor, factor, factor // 2)
    return crop(enlarged, like, offset=0)


def _sum(*bottoms: Top, coeff: tuple[float, ...] = ()) -> Top:
    return L.Eltwise(*bottoms, operation=P.Eltwise.SUM, coeff=list(coeff))


def _product(*bottoms: Top) -> Top:
    return L.Eltwise(*bottoms, operation=P.Eltwise.PROD)


def _constant(value: float) -> dict[str, Any]:
    return {"type": "constant", "value": value}


def _learned(name: str, rate: float) -> list[dict[str, Any]]:
    """`param` of a layer whose parameter all iterations share; so few do not need to decay."""
    return [{"name": f"{PREFIX}_{name}", "lr_mult": rate, "decay_mult": 0}]
