"""Programs in the style of those written for pycaffe (tests/pycaffe_scripts), run unmodified; their results are checked here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.reference_data import TESTS, shared_path
from support.warm import python

import caffe
from caffe.proto import model_file, text

SCRIPTS = TESTS / "pycaffe_scripts"


def run(cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python(), *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VOC: six real photographs and masks of half the size, four for training and two for validation."""
    source = shared_path("data", "VOCdevkit", "VOC2012")
    folder = tmp_path_factory.mktemp("VOC")
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    names = sorted(path.stem for path in (source / "SegmentationClass").glob("*.png"))[:6]
    for name in names:
        with Image.open(source / "JPEGImages" / f"{name}.jpg") as image:
            image.reduce(2).save(folder / "JPEGImages" / f"{name}.jpg")
        with Image.open(source / "SegmentationClass" / f"{name}.png") as mask:
            size = ((mask.width + 1) // 2, (mask.height + 1) // 2)
            mask.resize(size, Image.Resampling.NEAREST).save(folder / "SegmentationClass" / f"{name}.png")
    for split, members in (("train", names[:4]), ("val", names[4:])):
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(members) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scripts in which net.py and solve.py have run."""
    folder = tmp_path_factory.mktemp("scripts") / "fcn"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    run(folder, "net.py", str(voc))
    (folder / "solve.log").write_text(run(folder, "solve.py", str(voc)))
    return folder


def test_net_spec_programs_write_aligned_nets(trained: Path) -> None:
    net = text.read_net(trained / "train.prototxt")
    crops = {layer.name: layer.crop_param for layer in net.layer if layer.type == "Crop"}
    # By hand: pixel 0 lies at 19 in conv1, at (19 - 1/2) / 2 = 9.25 in pool1, at (9.25 - 1/2) / 2 = 4.375 in pool2, at 2.875 in
    # fc3, at 2 * 2.875 + 1.5 = 7.25 in upscore2 and at 2 * 7.25 + 1.5 = 16 in upscore.
    assert {name: (crop.axis, list(crop.offset)) for name, crop in crops.items()} == {
        "score_pool1c": (2, [2]),
        "score": (2, [16]),
    }


def test_transplanted_weights_arrive_flat(trained: Path) -> None:
    log = (trained / "solve.log").read_text()
    assert "coercing fc3 0 from (8, 96) to (8, 6, 4, 4)" in log
    assert "copying conv1  ->  conv1 0" in log


def test_training_learns_and_leaves_the_interpolation_alone(trained: Path, voc: Path) -> None:
    results = np.load(trained / "results.npz")
    pixels = 0
    for name in (voc / "ImageSets/Segmentation/val.txt").read_text().split():
        pixels += int((np.array(Image.open(voc / "SegmentationClass" / f"{name}.png")) != 255).sum())
    for hist in (results["hist0"], results["hist1"]):
        assert hist.sum() == pixels
    assert results["loss1"] < 0.9 * results["loss0"]
    # The first loss is that of an even guess among 21 classes, since the score layers start at zero.
    assert results["loss0"] == pytest.approx(np.log(21) * pixels / 2, rel=1e-3)
    final = {layer.name: layer.blobs for layer in model_file.read_model(trained / "final.caffemodel")}
    ramp = np.array([0.25, 0.75, 0.75, 0.25])
    for name in ("upscore2", "upscore"):
        expected = np.zeros((21, 21, 4, 4))
        expected[range(21), range(21)] = np.outer(ramp, ramp)
        np.testing.assert_allclose(final[name][0], expected, atol=1e-7)
    base = {layer.name: layer.blobs for layer in model_file.read_model(trained / "base.caffemodel")}
    for name in ("conv1", "fc3"):
        change = np.abs(final[name][0].ravel() - base[name][0].ravel()).max()
        assert 0 < change < 0.2 * np.abs(base[name][0]).max()


def test_python_data_layers_feed_images_of_their_own_size(
    trained: Path, voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.syspath_prepend(str(trained))
    net = caffe.Net("val.prototxt", caffe.TEST)
    for name in (voc / "ImageSets/Segmentation/val.txt").read_text().split() * 2:
        net.forward()
        pixels = cv2.cvtColor(np.array(Image.open(voc / "JPEGImages" / f"{name}.jpg")), cv2.COLOR_RGB2BGR)
        expected = pixels.transpose(2, 0, 1) - np.array([104.00699, 116.66877, 122.67892])[:, None, None]
        np.testing.assert_allclose(net.blobs["data"].data[0], expected, atol=1e-4)
        assert net.blobs["score"].shape == (1, 21, *pixels.shape[:2])
    sys.modules.pop("voc_layers")


def test_the_classification_example(tmp_path: Path) -> None:
    folder = shared_path("caffemodels", "cifar_v2")
    # Cats, cut out of their photographs and written as people have them: PNG and JPEG files.
    photographs = shared_path("data", "VOCdevkit", "VOC2012")
    names = []
    for path in sorted((photographs / "SegmentationClass").glob("*.png")):
        rows, columns = np.nonzero(np.array(Image.open(path)) == 8)
        if rows.size < 30000:
            continue
        image = Image.open(photographs / "JPEGImages" / f"{path.stem}.jpg")
        box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
        names.append(f"{path.stem}{'.png' if len(names) % 2 else '.jpg'}")
        image.crop(box).resize((32, 32), Image.Resampling.BOX).save(tmp_path / names[-1])
        if len(names) == 12:
            break
    model = [str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")]
    lines = run(tmp_path, str(SCRIPTS / "classify_cifar.py"), *model, *names).splitlines()
    assert [line.split()[0] for line in lines] == names
    assert sum(line.split()[1].startswith("cat:") for line in lines) >= 6
