"""Which files a model consists of, and where they are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.reference_data import REPOSITORY

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES, Classes
from crfasrnn.segmentation.models import ModelFiles, find_model, model_names


def test_every_bundled_model_has_its_files_and_names() -> None:
    assert "voc-animals-slim" in model_names()
    folder = REPOSITORY / "models" / "voc-animals-slim"
    files = find_model("voc-animals-slim", folder / "README.md")  # weights of one's own instead of the bundled ones
    assert files.prototxt.name == "crfrnn_deploy.prototxt"
    assert files.weights == folder / "README.md"
    assert files.classes is not None
    assert files.classes.voc_ids == (0, 8, 10, 12, 13, 15, 17)
    assert files.classes.names == tuple(VOC_CLASSES[index] for index in files.classes.voc_ids)


def test_the_networks_are_found_by_name_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.caffemodel").touch()
    for name in ("voc21/crfrnn", "slim/fcn8s"):
        files = find_model(name, Path("mine.caffemodel"))
        assert files.prototxt == REPOSITORY / "prototxt" / f"{name}_deploy.prototxt"
    with pytest.raises(CaffeError, match=r"voc21/crfrnn_deploy.prototxt' needs weights"):
        find_model("voc21/crfrnn")
    with pytest.raises(
        CaffeError, match=r"no model 'voc21/none'.*with --weights: deeplab/crfrnn, .*slim/crfrnn, .*voc21/crfrnn"
    ):
        find_model("voc21/none", Path("mine.caffemodel"))


def test_names_come_from_beside_weights_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.caffemodel").touch()
    assert find_model("voc-animals-slim", Path("own.caffemodel")).classes == find_model("voc-animals-slim").classes
    (tmp_path / "classes.txt").write_text("0 ground\n1 sky\n")
    assert find_model("voc-animals-slim", Path("own.caffemodel")).classes == Classes(("ground", "sky"), (0, 1))


def test_a_name_is_meant_before_what_lies_here_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("voc21-deeplab").touch()
    Path("crfrnn-coco-voc").mkdir()
    assert find_model("voc21-deeplab").weights == REPOSITORY / "models" / "voc21-deeplab" / "crfrnn.caffemodel.h5"
    with pytest.raises(CaffeError, match="'crfrnn-coco-voc' is not here"):
        find_model("crfrnn-coco-voc")
    with pytest.raises(CaffeError, match=r"'voc21-deeplab' needs weights"):
        find_model("./voc21-deeplab")
    with pytest.raises(CaffeError, match="no model ''"):
        find_model("")


def test_a_published_model_is_its_network_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFASRNN_MODELS", str(tmp_path))
    with pytest.raises(CaffeError, match=r"'crfrnn-coco-voc' is not here: download TVG_CRFRNN_COCO_VOC\.caffemodel"):
        find_model("crfrnn-coco-voc")
    prototxt, classes = (
        REPOSITORY / "prototxt" / "voc21" / "crfrnn_deploy.prototxt",
        Classes(VOC_CLASSES, tuple(range(21))),
    )
    (tmp_path / "own.caffemodel").touch()
    own = find_model("crfrnn-coco-voc", tmp_path / "own.caffemodel")
    assert own == ModelFiles(prototxt, tmp_path / "own.caffemodel", classes, 500)
    (tmp_path / "TVG_CRFRNN_COCO_VOC.caffemodel").touch()
    there = find_model("crfrnn-coco-voc")
    assert there == ModelFiles(prototxt, tmp_path / "TVG_CRFRNN_COCO_VOC.caffemodel", classes, 500)


# Without the finder of an editable installation, which comes before all paths.
PLACES = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
from crfasrnn.segmentation.models import model_names, resource_folder
print(resource_folder("prototxt"), resource_folder("models"), *model_names())
"""


@pytest.mark.parametrize("kind", ["checkout", "wheel"])
def test_resources_are_found_in_a_checkout_and_in_an_installed_wheel(tmp_path: Path, kind: str) -> None:
    """A checkout has the folders two above the package, a wheel inside of it; the other place does not count."""
    root = tmp_path / kind
    package = root / "python" / "crfasrnn" if kind == "checkout" else root / "site-packages" / "crfasrnn"
    for name in ("caffe", "crfasrnn"):
        code = REPOSITORY / "python" / name
        shutil.copytree(code, package.parent / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    data = root if kind == "checkout" else package
    (data / "prototxt").mkdir()
    (data / "models" / "mine").mkdir(parents=True)
    (data / "models" / "mine" / "model.json").write_text("{}")
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    asked = [sys.executable, "-c", PLACES]
    done = subprocess.run(asked, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(data / "prototxt"), str(data / "models"), "mine"]
    shutil.rmtree(data / "models")
    done = subprocess.run(asked, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "this installation of crfasrnn has no folder 'models'" in done.stderr


def test_the_build_puts_them_into_the_wheel() -> None:
    assert "install(DIRECTORY prototxt models DESTINATION crfasrnn)" in (REPOSITORY / "CMakeLists.txt").read_text()


def test_classes_are_looked_for_beside_weights_and_then_beside_the_net(tmp_path: Path) -> None:
    for folder in ("net", "weights"):
        (tmp_path / folder).mkdir()
    prototxt, weights = tmp_path / "net" / "x.prototxt", tmp_path / "weights" / "x.caffemodel"
    prototxt.touch()
    weights.touch()
    assert find_model(str(prototxt), weights) == ModelFiles(prototxt, weights, None)
    (tmp_path / "net" / "classes.txt").write_text("0 ground\n")
    assert find_model(str(prototxt), weights).classes == Classes(("ground",), (0,))
    (tmp_path / "weights" / "classes.txt").write_text("8 cat\n")
    assert find_model(str(prototxt), weights).classes == Classes(("cat",), (8,))


def test_a_trainings_folder_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").touch()
    with pytest.raises(CaffeError, match=r"weights file .*final\.caffemodel' not found: .* not the folder of a"):
        find_model(str(tmp_path))
    for number, time in ((500, 9), (1000, 10), (750, 8)):
        (tmp_path / f"net_iter_{number}.caffemodel").touch()
        os.utime(tmp_path / f"net_iter_{number}.caffemodel", (time, time))
    message = r"no 'final\.caffemodel' in .*: go on with it, or take .*--weights \S*net_iter_1000\.caffemodel$"
    with pytest.raises(CaffeError, match=message):
        find_model(str(tmp_path))
    (tmp_path / "final.caffemodel").touch()
    (tmp_path / "classes.txt").write_text("0 ground\n1 tree\n")
    found = ModelFiles(tmp_path / "deploy.prototxt", tmp_path / "final.caffemodel", Classes(("ground", "tree"), (0, 1)))
    assert find_model(str(tmp_path)) == found
    assert find_model(str(tmp_path), tmp_path / "deploy.prototxt").weights == tmp_path / "deploy.prototxt"


@pytest.mark.parametrize("name", ["final.caffemodel", "small.caffemodel.h5"])
def test_weights_are_no_model(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CaffeError, match=r"is weights, not a model: give them as --weights, .* as --model the folder"):
        find_model(str(tmp_path / name))
