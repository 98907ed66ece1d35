"""Small labelled photographs, the databases that trainings read, short trainings on them, and a trunk to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from caffe.proto.model_file import read_model
from crfasrnn.datasets import Dataset, folder
from crfasrnn.datasets.databases import variants, write_databases
from crfasrnn.networks import vgg
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.training.job import Job

PHOTOGRAPHS = [np.ascontiguousarray(image[..., ::-1]) for image in (skimage.data.cat(), skimage.data.astronaut())]
COLOURS = np.array([[0, 0, 0], [160, 60, 0], [0, 100, 170]])
WIDTH = 0.05  # of the networks


def piece(number: int, height: int = 40, width: int = 56) -> tuple[np.ndarray, np.ndarray]:
    """A piece of a photograph, coloured by labels that depend on its brightness: 0, 1, 2, and 255 between them."""
    rng = np.random.default_rng(number)
    photograph = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
    top, left = (rng.integers(size - part) for size, part in zip(photograph.shape, (height, width)))
    image = np.ascontiguousarray(photograph[top : top + height, left : left + width])
    light = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 2)
    labels = np.digitize(light, np.quantile(light, [0.4, 0.8])).astype(np.uint8)
    image = (image // 3 + COLOURS[labels]).astype(np.uint8)
    labels[cv2.dilate(labels, np.ones((3, 3))) != cv2.erode(labels, np.ones((3, 3)))] = 255
    return image, labels


def own_pictures(root: Path, count: int) -> tuple[Path, Path]:
    """Folders `photos` and `masks` with so many pieces."""
    for name in ("photos", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        image, labels = piece(number)
        write_image(root / "photos" / f"p{number}.png", image)
        write_labels(root / "masks" / f"p{number}.png", labels)
    return root / "photos", root / "masks"


def databases(root: Path) -> Path:
    """A folder `data` with train (6 images) and val (3 others), as `crfasrnn data lmdb` makes them; returns it."""
    dataset = folder(*own_pictures(root, 9))
    for name, examples in (("train", dataset.examples[:6]), ("val", dataset.examples[6:])):
        write_databases(root / "data" / name, variants(Dataset("", examples), [None], False, 1))
    return root / "data"


def slim(data: Path, output: Path, recipe: str = "slim-fcn8s", **more: Any) -> Job:
    """A short training of a narrow slim network; more: fields of Job, and options: those of recipes.RecipeOptions."""
    options = RecipeOptions(width=WIDTH, **more.pop("options", {}))
    return Job(recipe, data, output, **{"steps": 6, "test_interval": 3, "options": options, **more})


def quiet(_: str) -> None:
    """Show nothing."""


def weights_of(path: Path) -> dict[str, list[np.ndarray]]:
    """The parameters in a model file, layer by layer."""
    return {layer.name: layer.blobs for layer in read_model(path) if layer.blobs}


def same(first: dict[str, list[np.ndarray]], second: dict[str, list[np.ndarray]]) -> set[str]:
    """The layers that are equal bit by bit."""
    assert set(first) == set(second)
    return {name for name in first if all(np.array_equal(a, b) for a, b in zip(first[name], second[name]))}


def write_trunk(path: Path) -> dict[str, np.ndarray]:
    """Random weights for VGG-16's convolutions, in the form that `crfasrnn model convert` reads; returns them."""
    rng = np.random.default_rng(0)
    arrays, channels = {}, 3
    for block, widths in enumerate(vgg.BLOCKS, 1):
        for index, width in enumerate(widths, 1):
            scale = np.sqrt(2 / (9 * channels))
            arrays[f"conv{block}_{index}_w"] = (scale * rng.standard_normal((width, channels, 3, 3))).astype(np.float16)
            arrays[f"conv{block}_{index}_b"] = rng.standard_normal(width).astype(np.float16)
            channels = width
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return arrays
