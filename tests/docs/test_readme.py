"""What README.md tells users to type runs: its Python blocks and shell blocks, in a folder with small files of their names."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from support.crfasrnn.datasets import make_sbd, make_voc
from support.crfasrnn.training import own_pictures
from support.reference_data import REPOSITORY

from caffe.proto.model_file import write_model_hdf5
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CLASSES = (8, 10, 12, 13, 15, 17)  # of the bundled model, in VOC's numbers, without the background

# Beginnings of commands that are left out, and why.
OMITTED = {
    ". .venv/bin/activate": "needs what make demo sets up",
    "make demo": "sets up .venv; README's shortest command is run by hand",
    "make test": "runs this test",
    "pip install '.[opencv,demo]'": "a download",
    "crfasrnn demo": "serves until it is ended: tests/crfasrnn/demo visits the page",
    "make caffe-plugin": "needs a genuine Caffe: tests/plugin builds and runs it",
    "LD_PRELOAD=": "needs a genuine Caffe: tests/plugin builds and runs it",
    "sha1sum TVG_CRFRNN_COCO_VOC": "a download of 540 MB",
    "crfasrnn export model.onnx": "needs the extra onnx: tests/docs/test_export_page.py runs it",
    "sbatch": "needs a cluster",
    "torchrun": "needs GPUs",
    "S. Zheng": "the paper to cite",
    "Conditional Random Fields as": "the paper to cite",
}

# What takes long or needs a download is said shorter: text, and what stands for it. In README's order.
SHORTENED = {
    # The authors' network and weights: the small network with the bundled ones.
    "prototxt/voc21/crfrnn_deploy.prototxt": "prototxt/slim/crfrnn_deploy.prototxt",
    "--model voc21/crfrnn": "--model slim/crfrnn",
    "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
    # Trainings of two steps (see _prototxts).
    "fcn8s_iter_3500": "fcn8s_iter_2",
    "crfrnn_iter_500": "crfrnn_iter_1",
    "crfrnn_iter_1000": "crfrnn_iter_2",
    "-iterations 231": "-iterations 2",
    "-phase TEST -iterations 5": "-phase TEST -iterations 1",
    "--data own --weights VGG_ILSVRC_16_layers.caffemodel": "--data own --scratch --width 0.05 --steps 3",
    "crfasrnn train slim-crfrnn --data own": "crfasrnn train slim-crfrnn --data own --width 0.05 --steps 2",
    "--probabilities DIR --output tuned": "--probabilities DIR --output tuned --coarse 2 --fine 1 --folds 2 --processes 1",
    # Few and small images.
    "--precision bf16 --dry-run": "--precision bf16 --dry-run --held-out 1",
    "1, 21, 240, 320": "1, 21, 48, 64",
    "1, 3, 240, 320": "1, 3, 48, 64",
    "120, 160": "30, 40",
    "mask[:, :, 150:]": "mask[:, :, 35:]",
}


# ------------------------------------------------------------------------------------------------------ reading the README


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


# --------------------------------------------------------------------------------------- a folder with all that it names, small


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
    (folder / "coloured").mkdir()
    write_image(folder / "coloured" / "p0.bmp", np.full((4, 5, 3), 9, np.uint8))
    (folder / "classes.csv").write_text("Void,0,0,0\nSky,9,9,9\n")
    _small_vgg16(folder / "VGG_ILSVRC_16_layers.caffemodel")
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


# --------------------------------------------------------------------------------------------------------------- running it


def shortened(text: str) -> str:
    for long, short in SHORTENED.items():
        text = text.replace(long, short)
    return text


def is_omitted(command: str) -> bool:
    return command.startswith(tuple(OMITTED))


def title(block: str) -> str:
    return block.strip().splitlines()[0][:50]


SHELL = [block for block in indented_blocks() if not all(map(is_omitted, commands(block)))]


def test_what_is_left_out_or_shortened_is_there() -> None:
    """Each entry of the two tables still means something in the README."""
    lines = [line for block in indented_blocks() for line in commands(block)]
    assert [start for start in OMITTED if not any(line.startswith(start) for line in lines)] == []
    text = "\n".join(lines + python_blocks())
    assert [long for long in SHORTENED if long not in text] == []
    assert len(python_blocks()) >= 4
    assert len(SHELL) >= 8


@pytest.mark.parametrize("block", python_blocks(), ids=title)
def test_python_block(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(shortened(block), "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", SHELL, ids=title)
def test_shell_block(block: str, tmp_path: Path) -> None:
    """By bash, each command to its end without an error."""
    workplace(tmp_path)
    install(tmp_path / "bin")
    script = "\n".join(shortened(line) for line in commands(block) if not is_omitted(line))
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-eux", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr
