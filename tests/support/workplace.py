"""A folder with small files of all the names that the documentation's pages use."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import skimage.data

from caffe.proto.model_file import write_model_hdf5
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from support.crfasrnn.datasets import make_sbd, make_voc
from support.crfasrnn.training import own_pictures
from support.reference_data import REPOSITORY

CLASSES = (8, 10, 12, 13, 15, 17)  # of the bundled slim model, in VOC's numbers, without the background


def _label_maps(stem: str, count: int) -> dict[str, np.ndarray]:
    """Label maps of 40 x 56 pixels: background, two of CLASSES, and void between them."""
    maps = {}
    for number in range(count):
        labels = np.zeros((40, 56), np.uint8)
        labels[10:30, 5:25] = CLASSES[number % len(CLASSES)]
        labels[5:35, 30:50] = CLASSES[(number + 1) % len(CLASSES)]
        labels[:, 27:29] = 255
        maps[f"{stem}_{number}"] = labels
    return maps


def _small_vgg16(path: Path) -> None:
    """As Oxford's file, but its first two layers only."""
    rng = np.random.default_rng(0)
    shapes = {"conv1_1": (64, 3, 3, 3), "conv1_2": (64, 64, 3, 3)}
    blobs = [[rng.normal(0, 0.05, shape), np.zeros(shape[0])] for shape in shapes.values()]
    write_model_hdf5(path, list(shapes), blobs)


def _prototxts(folder: Path) -> None:
    """The repository's, with trainings of two steps and tests of one image."""
    shutil.copytree(REPOSITORY / "prototxt", folder)
    for solver in (folder / "slim").glob("*_solver.prototxt"):
        text = solver.read_text()
        for name, number in {"test_iter": 1, "test_interval": 2, "max_iter": 2, "snapshot": 1}.items():
            text, found = re.subn(rf"^{name}: \d+$", f"{name}: {number}", text, flags=re.MULTILINE)
            assert found == 1, f"{solver} sets no {name}"
        solver.write_text(text)


def workplace(folder: Path) -> Path:
    """Fill the folder with all that the pages read: photographs, data sets, models, labels, probabilities; returns it.

    `photo.jpg` is a cat of 75 x 50 pixels, `photos` and `masks` six small pictures with their masks, `VOCdevkit/VOC2012` a VOC of
    four training and two validation images, `prototxt` the repository's with short trainings, `models`, `scripts` and `examples`
    the repository's own.
    """
    cat = np.ascontiguousarray(skimage.data.cat()[::6, ::6, ::-1])
    for name in ("photo.jpg", "holiday/beach.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_image(folder / name, cat)
    for name in ("scripts", "models", "examples"):
        (folder / name).symlink_to(REPOSITORY / name)
    _prototxts(folder / "prototxt")
    train, val = _label_maps("train", 4), _label_maps("val", 2)
    voc = make_voc(folder / "VOCdevkit" / "VOC2012", {"train": train, "val": val, "test": _label_maps("test", 1)})
    (voc / "SegmentationClass" / "test_0.png").unlink()  # as published
    (folder / "VOC2012").symlink_to(voc)
    sbd = {
        name: {stem: labels % 255 for stem, labels in _label_maps(f"sbd_{name}", 2).items()}
        for name in ("train", "val")
    }
    make_sbd(folder / "benchmark_RELEASE" / "dataset", sbd)  # which knows no void
    own_pictures(folder, 6)
    (folder / "coloured").mkdir()
    write_image(folder / "coloured" / "p0.bmp", np.full((4, 5, 3), 9, np.uint8))
    (folder / "classes.csv").write_text("Void,0,0,0\nSky,9,9,9\n")
    _small_vgg16(folder / "VGG_ILSVRC_16_layers.caffemodel")
    _of_another_classifier(folder, cat.shape[:2], train, val)
    return folder


def _of_another_classifier(
    folder: Path, shape: tuple[int, ...], train: dict[str, np.ndarray], val: dict[str, np.ndarray]
) -> None:
    """Labels and probabilities of the photograph; of seven classes, labels of val; probabilities of train."""
    labels = np.zeros(shape, np.uint8)
    labels[10:30, 20:60] = 8
    write_labels(folder / "labels.png", labels)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), shape).transpose(2, 0, 1)
    np.save(folder / "probabilities.npy", probabilities.astype(np.float32))
    (folder / "FOLDER").mkdir()
    for name, values in val.items():
        write_labels(folder / "FOLDER" / f"{name}.png", np.searchsorted((0, *CLASSES), values % 255).astype(np.uint8))
    (folder / "DIR").mkdir()
    for seed, name in enumerate(train):
        drawn = np.random.default_rng(seed).dirichlet(np.ones(21), (40, 56)).transpose(2, 0, 1)
        np.save(folder / "DIR" / f"{name}.npy", drawn.astype(np.float32))
