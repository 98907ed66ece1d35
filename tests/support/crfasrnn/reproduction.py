"""A miniature of VOC, and the options of a reproduction on it that takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

import caffe
from crfasrnn.networks import recipes
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.reproduction.settings import Settings
from support.crfasrnn.training import WIDTH, piece

CLASSES = (0, 8, 15)
NAMES = [f"i{number:02}" for number in range(12)]
SEEDS = ("--networks", "1", "--seeds", "1,2")
LISTS = {"train": NAMES[:5], "train_sbd": NAMES[5:8], "val": NAMES[8:]}


def miniature_voc(root: Path) -> Path:
    """A folder like VOC2012 with twelve images of three classes."""
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image, labels = piece(number)
        write_image(root / "JPEGImages" / f"{name}.jpg", image)
        write_labels(root / "SegmentationClass" / f"{name}.png", np.array([*CLASSES, *[255] * 253], np.uint8)[labels])
    for name, members in LISTS.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("".join(f"{member}\n" for member in members))
    return root


def random_weights(path: Path) -> Path:
    """A model file for FCN-8s slim whose scores differ from pixel to pixel, unlike those of a training's start."""
    net = recipes.deploy_net(recipes.recipe("slim-fcn8s"), len(CLASSES), RecipeOptions(width=WIDTH))
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.weight_filler.type = "msra"
    definition = path.with_suffix(".prototxt")
    definition.write_text(text_format.MessageToString(net))
    caffe.set_random_seed(5)
    caffe.Net(str(definition), caffe.TEST).save(str(path))
    return path


def settings_of(voc: Path) -> Settings:
    """The settings that first_call gives, but the weights."""
    return Settings(str(voc), None, classes=CLASSES, held_out=2, scales=(40, 56), size=56, width=WIDTH, test_list="val")


def first_call(voc: Path, output: Path) -> list[object]:
    """The options of the first call."""
    weights = random_weights(output.parent / "random.caffemodel")
    return [
        *(
            "--output",
            output,
            "--voc",
            voc,
            "--weights",
            weights,
            "--classes",
            "0,8,15",
            "--held-out",
            2,
            "--train-size",
            "40,56",
        ),
        *(
            "--test-list",
            "val",
            "--size",
            56,
            "--fcn-steps",
            1,
            "--crf-steps",
            8,
            "--tune-settings",
            "2,2",
            "--width",
            WIDTH,
        ),
        *SEEDS,
        *("--threads", 1),
    ]


def table_of(output: Path, name: str) -> dict[str, Any]:
    """The JSON of a table."""
    content: dict[str, Any] = json.loads((output / f"{name}.json").read_text())
    return content
