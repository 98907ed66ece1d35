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


def test_the_loss_is_the_one_asked_for() -> None:
    for asked, kind in (
        ("softmax", "SoftmaxWithLoss"),
        ("robust", "RobustLogLikelihoodLoss"),
        ("lovasz", "LovaszSoftmaxLoss"),
    ):
        for make in (recipes.train_net, recipes.val_net):
            net = make(recipe("fcn8s"), 3, RecipeOptions(loss=asked), "x")
            (loss,) = [layer for layer in net.layer if layer.name == "loss"]
            assert loss.type == kind
            assert net.name == "FCN-8s"
