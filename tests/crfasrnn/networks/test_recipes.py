"""Recipes: which nets they make of their bodies and options."""

from __future__ import annotations

import pytest

from caffe.errors import CaffeError
from crfasrnn.crf.caffemodel import LAYER
from crfasrnn.networks import recipes
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RECIPES, RecipeOptions, recipe


def test_every_recipe_starts_from_one_that_exists() -> None:
    for made_by in RECIPES.values():
        assert made_by.start is None or made_by.start in RECIPES
    with pytest.raises(CaffeError, match="no recipe 'fcn9s': one of fcn32s, fcn16s"):
        recipe("fcn9s")


def test_iterations_in_training_and_testing() -> None:
    made_by = recipe("slim-crfrnn")
    for options, trained, tested in (
        (RecipeOptions(), 5, 10),
        (RecipeOptions(iterations=3), 3, 10),
        (RecipeOptions(deploy_iterations=1), 5, 1),
        (RecipeOptions(iterations=4, variant=Variant(untied=True)), 4, 4),
    ):
        nets = [recipes.train_net(made_by, 3, options, "x"), recipes.val_net(made_by, 3, options, "x")]
        counts = [
            [layer.multi_stage_meanfield_param.num_iterations for layer in net.layer if layer.name == LAYER]
            for net in (*nets, recipes.deploy_net(made_by, 3, options))
        ]
        assert counts == [[trained], [trained], [tested]]


def test_the_crf_alone_learns_what_testing_sees() -> None:
    net = recipes.train_net(recipe("crf-only"), 3, RecipeOptions(), "x")
    assert not [layer for layer in net.layer if layer.type == "Dropout"]
    learned = {layer.name for layer in net.layer if any(param.lr_mult or param.decay_mult for param in layer.param)}
    assert learned == {LAYER}


@pytest.mark.parametrize("name", [name for name, made_by in RECIPES.items() if made_by.crf_rates])
def test_a_gru_stands_where_the_crf_would(name: str) -> None:
    made_by, options = recipe(name), RecipeOptions(iterations=3, deploy_iterations=4, refiner="gru")
    nets = [recipes.train_net(made_by, 3, options, "x"), recipes.val_net(made_by, 3, options, "x")]
    for net, steps in ((nets[0], 3), (nets[1], 3), (recipes.deploy_net(made_by, 3, options), 4)):
        layers = {layer.name: layer for layer in net.layer}
        assert LAYER not in layers
        assert [name for name in layers if name.endswith("_q")] == [f"gru{step + 1}_q" for step in range(steps)]
        assert layers["pred"].bottom[0] == "coarse" or "score" in layers["pred"].bottom[0]
        assert {param.lr_mult for param in layers["gru_side"].param} == {made_by.crf_rates[0]}  # type: ignore[index]
        assert net.name == made_by.title.replace("CRF-RNN", "GRU").replace("CRF", "GRU")
    if made_by.frozen:
        learned = {layer.name for layer in nets[0].layer if any(p.lr_mult or p.decay_mult for p in layer.param)}
        assert {"gru_side", "gru_renewal", "gru1_same_mixed", "gru3_other_window"} < learned
        assert all(name.startswith("gru") for name in learned)


def test_refiners_that_there_are_not() -> None:
    with pytest.raises(CaffeError, match="refiner must be one of crf, gru, not 'lstm'"):
        RecipeOptions(refiner="lstm")
    with pytest.raises(CaffeError, match="refiner 'gru' is no CRF"):
        RecipeOptions(refiner="gru", variant=Variant(untied=True))


def test_widths_learn_at_a_rate_of_their_own() -> None:
    for name, rate in (("crfrnn", 1000), ("slim-crfrnn", 30), ("deeplab-crf-only", 10)):
        options = RecipeOptions(variant=Variant(learn_bandwidths=True))
        net = recipes.train_net(recipe(name), 3, options, "x")
        (layer,) = [layer for layer in net.layer if layer.name == LAYER]
        assert [param.lr_mult for param in layer.param] == [*recipe(name).crf_rates, rate]  # type: ignore[misc]


def test_the_loss_is_the_one_asked_for() -> None:
    for asked, kind in (
        ("softmax", "SoftmaxWithLoss"),
        ("robust", "RobustLogLikelihoodLoss"),
        ("lovasz", "LovaszSoftmaxLoss"),
    ):
        for make in (recipes.train_net, recipes.val_net):
            net = make(recipe("slim-fcn8s"), 3, RecipeOptions(loss=asked), "x")
            (loss,) = [layer for layer in net.layer if layer.name == "loss"]
            assert loss.type == kind
            assert net.name == "FCN-8s slim"


def test_two_losses_together() -> None:
    net = recipes.train_net(recipe("slim-crfrnn"), 3, RecipeOptions(loss="softmax+lovasz"), "x")
    losses = {layer.top[0]: (layer.type, list(layer.bottom), list(layer.loss_weight)) for layer in net.layer[-2:]}
    assert losses == {
        "loss": ("SoftmaxWithLoss", ["pred", "label"], []),
        "lovasz_loss": ("LovaszSoftmaxLoss", ["pred", "label"], [1]),
    }


def test_a_sum_over_pixels_drowns_a_mean() -> None:
    with pytest.raises(CaffeError, match=r"summed over the pixels, beside which 'softmax\+lovasz'"):
        recipes.train_net(recipe("crfrnn"), 3, RecipeOptions(loss="softmax+lovasz"), "x")
