"""Labels after each mean-field iteration, against nets that have so many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf import text_format
from support.crfasrnn.training import WIDTH, piece

from caffe.proto.model_file import read_model, write_model_hdf5
from crfasrnn.networks import recipes
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.reproduction.sweep import Sweep
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.training.job import Job


def test_a_sweep_gives_what_nets_with_so_many_iterations_give(voc: Path, output: Path, tmp_path: Path) -> None:
    """With strong random weights, so that the iterations differ."""
    rng = np.random.default_rng(0)
    layers = [layer for layer in read_model(output / "crfrnn-1.1" / "final.caffemodel") if layer.blobs]
    for layer in layers:
        if layer.name == "inference1":
            layer.blobs = [blob + rng.normal(0, 1, blob.shape).astype(np.float32) for blob in layer.blobs]
    job = Job("slim-crfrnn", tmp_path, tmp_path, options=RecipeOptions(width=WIDTH))
    weights = job.final.with_suffix(".caffemodel")
    write_model_hdf5(weights, [layer.name for layer in layers], [layer.blobs for layer in layers])
    (tmp_path / "classes.txt").write_text("0 background\n8 cat\n15 person\n")
    image, _ = piece(9)
    found = list(Sweep(job, 56, 3)(image, 6))
    for count in (1, 2, 3, 6):
        definition = tmp_path / f"t{count}.prototxt"
        options = RecipeOptions(width=WIDTH, deploy_iterations=count)
        net = recipes.deploy_net(recipes.recipe("slim-crfrnn"), 3, options)
        definition.write_text(text_format.MessageToString(net))
        expected = Segmenter(str(definition), weights, size=56).segment(image).labels
        assert np.mean(found[count - 1] != expected) < 0.001
    assert np.mean(found[0] != found[5]) > 0.005
