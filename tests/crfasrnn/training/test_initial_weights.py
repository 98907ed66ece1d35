"""Where trainings start: a choice of another model's classes, and weights that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from support.crfasrnn.training import quiet, slim

import caffe
from caffe.errors import CaffeError
from caffe.net.weights import copy_weights
from caffe.proto.model_file import LayerBlobs
from crfasrnn.classes import VOC_CLASSES, Classes
from crfasrnn.networks import recipes
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.training import initial_weights
from crfasrnn.training.train import train


@pytest.mark.parametrize("recipe", ["crfrnn", "slim-crfrnn"])
def test_choosing_classes_is_slicing(tmp_path: Path, recipe: str) -> None:
    options, rng = RecipeOptions(width=0.02), np.random.default_rng(1)
    nets = {}
    for count in (21, 4):
        path = tmp_path / f"{count}.prototxt"
        definition = recipes.deploy_net(recipes.recipe(recipe), count, options)
        path.write_text(text_format.MessageToString(definition))
        nets[count] = caffe.Net(str(path), caffe.TEST)
    for blobs in nets[21].params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(size=blob.shape)
    source = [LayerBlobs(name, "", [blob.data.copy() for blob in blobs]) for name, blobs in nets[21].params.items()]
    ids = [VOC_CLASSES.index(name) for name in ("background", "dog", "cat")]
    kept = initial_weights.class_choice(("background", "dog", "yeti", "cat"), VOC_CLASSES)
    assert kept == [ids[0], ids[1], None, ids[2]]
    initial = {name: [blob.data.copy() for blob in blobs] for name, blobs in nets[4].params.items()}
    chosen = initial_weights.chosen(source, nets[4], kept, "source")
    copy_weights(nets[4].nodes, nets[4].parameters, chosen, "source", "net")
    known = [0, 1, 3]
    for name, blobs in nets[4].params.items():
        old = nets[21].params[name]
        for index, blob in enumerate(blobs):
            expected = initial[name][index]
            if name.startswith(("conv", "fc", "scale")):
                expected = old[index].data
            elif name == "inference1":
                expected[..., np.array(known)[:, None], known] = old[index].data[..., np.array(ids)[:, None], ids]
            elif name.startswith(("score2", "score4", "upsample")) and recipe == "crfrnn" and blob.data.ndim == 4:
                expected[np.array(known)[:, None], known] = old[index].data[np.array(ids)[:, None], ids]
            else:
                expected[known] = old[index].data[ids]
            np.testing.assert_array_equal(blob.data, expected, err_msg=f"{name} {index}")


def test_a_model_of_other_classes_starts_a_training(data: Path, fcn: Path, tmp_path: Path, warnings: list[str]) -> None:
    classes = Classes(("class 2", "class 0"), (2, 0))
    job = slim(data, tmp_path / "out", weights=fcn, classes=classes, iterations=1)
    with pytest.raises(CaffeError, match="label"):  # the data have three
        train(job, show=quiet)
    more = Classes(("class 2", "new", "class 0", "class 1"), (2, 3, 0, 1))
    job = slim(data, tmp_path / "more", weights=fcn, classes=more, iterations=1)
    assert train(job, show=quiet)
    assert any("does not know new: these classes start anew" in line for line in warnings)


def test_other_shapes_are_no_choice_of_classes() -> None:
    with pytest.raises(CaffeError, match=r"x: shape .* was it trained with another recipe"):
        initial_weights.take_classes(np.zeros((8, 3, 3, 3)), np.zeros((4, 3, 3, 3)), [0, 9, None, 1], "x")
