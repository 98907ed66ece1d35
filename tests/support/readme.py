"""README.md's code blocks, and a folder in which they can run: every file they name, small."""

from __future__ import annotations

import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data

from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from support.datasets import make_sbd, make_voc
from support.reference_data import REPOSITORY
from support.training import own_pictures

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CLASSES = (8, 10, 12, 13, 15, 17)  # of the bundled model, in VOC's numbers, without the background


def python_blocks() -> list[str]:
    """The ```python blocks."""
    return re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def indented_blocks() -> list[str]:
    """The blocks indented by four spaces, without the indentation; none are within a list or a fence here."""
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    return [
        re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() + "\n"
        for block in re.findall(r"(?<=\n\n)(?:    .*\n|\n(?=    ))+", text)
    ]


def commands(block: str) -> list[str]:
    """The commands of a shell block, lines that end in a backslash joined with the next."""
    joined = re.sub(r" *\\\n *", " ", block)
    return [line for line in joined.splitlines() if line.strip()]


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


def _small_trunk(path: Path) -> None:
    """As the file of VGG-16's convolutions, but its first two layers only."""
    rng = np.random.default_rng(0)
    shapes = {"conv1_1": (64, 3, 3, 3), "conv1_2": (64, 64, 3, 3)}
    arrays = {f"{name}_w": rng.normal(0, 0.05, shape).astype(np.float16) for name, shape in shapes.items()}
    np.savez(path, **arrays, **{f"{name}_b": np.zeros(shape[0], np.float16) for name, shape in shapes.items()})


def _prototxts(folder: Path) -> None:
    """The repository's, with trainings of two steps and tests of one image."""
    shutil.copytree(REPOSITORY / "prototxt", folder)
    for solver in (folder / "slim").glob("*_solver.prototxt"):
        text = solver.read_text()
        for name, number in {"test_iter": 1, "test_interval": 2, "max_iter": 2, "snapshot": 1}.items():
            text, found = re.subn(rf"^{name}: \d+$", f"{name}: {number}", text, flags=re.MULTILINE)
            assert found == 1, f"{solver} sets no {name}"
        solver.write_text(text)


def _scripts() -> Iterator[tuple[str, str]]:
    """Names and `module:function` of the commands that pip installs."""
    table = (REPOSITORY / "pyproject.toml").read_text().split("[project.scripts]\n")[1].split("\n[")[0]
    for line in table.strip().splitlines():
        name, target = (part.strip().strip('"') for part in line.split("="))
        yield name, target


def install(folder: Path) -> None:
    """The commands that pip installs, so as it does, for the interpreter and the modules of the tests; and `python`."""
    folder.mkdir()
    for name, target in _scripts():
        module, function = target.split(":")
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    # Not a link: an interpreter that is started by another name does not find its virtual environment.
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)


def workplace(folder: Path) -> None:
    """Fill the folder with all that README's blocks read: photographs, data sets, models, labels, probabilities."""
    cat = np.ascontiguousarray(skimage.data.cat()[::6, ::6, ::-1])
    for name in ("photo.jpg", "holiday/beach.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_image(folder / name, cat)
    for name in ("scripts", "models"):
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
    _small_trunk(folder / "vgg16_trunk.npz")
    # What another classifier says: labels of the photograph and, of seven classes, of val; and probabilities.
    labels = np.zeros(cat.shape[:2], np.uint8)
    labels[10:30, 20:60] = 8
    write_labels(folder / "labels.png", labels)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), cat.shape[:2]).transpose(2, 0, 1)
    np.save(folder / "probabilities.npy", probabilities.astype(np.float32))
    (folder / "FOLDER").mkdir()
    for name, values in val.items():
        write_labels(folder / "FOLDER" / f"{name}.png", np.searchsorted((0, *CLASSES), values % 255).astype(np.uint8))
    (folder / "DIR").mkdir()
    for seed, name in enumerate(train):
        drawn = np.random.default_rng(seed).dirichlet(np.ones(21), (40, 56)).transpose(2, 0, 1)
        np.save(folder / "DIR" / f"{name}.npy", drawn.astype(np.float32))
