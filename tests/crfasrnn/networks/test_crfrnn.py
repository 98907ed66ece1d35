"""The CRF behind the scores: iterations, rates, and the variants of section 7.1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.crfasrnn.prototxts import committed, layer

from caffe import TRAIN, Net
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.networks.crfrnn import Bilateral, Kernels, Variant, mean_field


@pytest.mark.parametrize(("folder", "train", "deploy"), [("voc21", 5, 10), ("slim", 5, 10)], ids=["voc21", "slim"])
def test_five_iterations_to_train_and_ten_to_segment(folder: str, train: int, deploy: int) -> None:
    for name, iterations in (("train", train), ("val", train), ("deploy", deploy)):
        crf = layer(committed(f"{folder}/crfrnn_{name}.prototxt"), "inference1").multi_stage_meanfield_param
        assert crf.num_iterations == iterations
        assert (crf.theta_alpha, crf.theta_beta, crf.theta_gamma) == (160, 3, 3)


def net_of(variant: Variant, kernels: Kernels | None = None) -> Any:
    """Three classes' scores and what mean_field adds to them."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 8, 8]})
    scores = L.Convolution(n.data, num_output=3, kernel_size=1)
    mean_field(n, scores, 3, 5, (6, 7, 8), kernels, variant)
    return n.to_proto()


def added(variant: Variant, kernels: Kernels | None = None) -> Any:
    """The layer that mean_field adds."""
    return net_of(variant, kernels).layer[-1]


@pytest.mark.parametrize(
    ("variant", "fields"),
    [
        (Variant(), {}),
        (Variant(kernel_weights="per_class"), {"kernel_weights": 1}),
        (Variant(kernel_weights="shared", compatibility="potts"), {"kernel_weights": 2}),
        (Variant(compatibility="symmetric"), {"symmetric_compatibility": True}),
        (Variant(untied=True), {"untied": True}),
        (Variant(activation="relu"), {"activation": 1}),
        (Variant(learn_bandwidths=True), {"learn_bandwidths": True}),
    ],
    ids=["released", "per class", "shared", "symmetric", "untied", "relu", "bandwidths"],
)
def test_a_variant_states_what_differs_from_the_released_layer(variant: Variant, fields: dict[str, Any]) -> None:
    param = added(variant).multi_stage_meanfield_param
    stated = {field.name: value for field, value in param.ListFields()}
    released = {field.name: value for field, value in added(Variant()).multi_stage_meanfield_param.ListFields()}
    ours = {name: value for name, value in stated.items() if name not in released}
    assert ours == fields


def test_potts_is_not_learned() -> None:
    for compatibility, rates in (("full", [6, 7, 8]), ("potts", [6, 7, 0])):
        param = added(Variant(compatibility=compatibility)).param
        assert [entry.lr_mult for entry in param] == rates
        assert param[2].decay_mult == (0 if compatibility == "potts" else 1)


def test_bilateral_kernels_share_the_starting_weight_and_the_rate_of_the_one() -> None:
    further = (Bilateral(40, 5), Bilateral(20, 30))
    layer = added(Variant(bilaterals=further, learn_bandwidths=True, compatibility="potts"), Kernels(50, 4, 5, 2, 6))
    param = layer.multi_stage_meanfield_param
    assert (param.spatial_filter_weights_str, param.bilateral_filter_weights_str) == ("2 2 2", "2 2 2")
    assert [(k.theta_alpha, k.theta_beta, k.weight) for k in param.bilateral] == [(40, 5, 2), (20, 30, 2)]
    assert [entry.lr_mult for entry in layer.param] == [6, 7, 0, 7, 7, 10]
    net = Net(net_of(Variant(bilaterals=further, learn_bandwidths=True)), TRAIN)
    blobs = [blob.data for blob in net.params["inference1"]]
    assert [blob.shape for blob in blobs] == [(1, 1, 3, 3)] * 5 + [(7,)]
    np.testing.assert_allclose(np.exp(blobs[5]), [160, 3, 3, 40, 5, 20, 30], rtol=1e-5)
    for blob, weight in zip(blobs[:5], (3, 5 / 3, -1, 5 / 3, 5 / 3), strict=True):
        np.testing.assert_allclose(blob[0, 0], weight * np.eye(3), rtol=1e-5)


def test_without_softmax_the_weights_start_below_one() -> None:
    for activation, weights in (("softmax", ("2 2 2", "4 4 4")), ("relu", ("0.3 0.3 0.3", "0.5 0.5 0.5"))):
        param = added(Variant(activation=activation), Kernels(50, 4, 5, 2, 4)).multi_stage_meanfield_param
        assert (param.spatial_filter_weights_str, param.bilateral_filter_weights_str) == weights
        assert (param.theta_alpha, param.theta_beta, param.theta_gamma) == (50, 4, 5)
