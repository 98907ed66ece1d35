"""The pages of docs/ that tell users what to type run, each from its top to its end in a folder with small files of its names."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
from support.pages import Page
from support.workplace import workplace

from crfasrnn.export.write import INPUT, OUTPUT
from crfasrnn.pictures.photographs import write_image

DOWNLOAD = "a download"
GENUINE = "needs a genuine Caffe: tests/plugin builds and runs it"
ELSEWHERE = "serves until it is ended: tests/crfasrnn/demo visits the page"
SMALL_TRAINING = {
    "own/train.txt --size 384": "own/train.txt --size 48",
    "own/val.txt --size 384": "own/val.txt --size 48",
}
RELEASED = {  # the authors' network and weights: the small network with the bundled ones
    "prototxt/voc21/crfrnn_deploy.prototxt": "prototxt/slim/crfrnn_deploy.prototxt",
    "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
}

# Each page, and how many of its blocks run at least.
PAGES = {
    "docs/start.md": (
        {"make demo": "sets up .venv; it is run by hand", ". .venv/bin/activate": "needs what make demo sets up"},
        {},
        1,
    ),
    "docs/tutorials/segment.md": ({"crfasrnn demo": ELSEWHERE}, {}, 6),
    "docs/tutorials/refine.md": (
        {},
        {
            "--probabilities DIR --output tuned": "--probabilities DIR --output tuned --coarse 2 --fine 1 --folds 2 --processes 1",
            "photo.jpg DIR/train_0.npy": "VOC2012/JPEGImages/train_0.jpg DIR/train_0.npy",
            "cams/*.npy": "own.npy",
            "1, 21, 240, 320": "1, 21, 48, 64",
            "1, 3, 240, 320": "1, 3, 48, 64",
            "120, 160": "30, 40",
            "mask[:, :, 150:]": "mask[:, :, 35:]",
        },
        8,
    ),
    "docs/tutorials/train.md": (
        {},
        SMALL_TRAINING
        | {
            "--learning-rate 3e-4": "--learning-rate 3e-4 --steps 2 --test-images 1",
            "--data own --weights VGG_ILSVRC_16_layers.caffemodel": "--data own --scratch --width 0.05 --steps 3",
            "crfasrnn train slim-crfrnn --data own": "crfasrnn train slim-crfrnn --data own --width 0.05 --steps 2",
            "--scratch --steps 300": "--scratch --steps 2 --width 0.05",
        },
        5,
    ),
    "docs/tutorials/caffe.md": (
        {"sha1sum TVG_CRFRNN_COCO_VOC": "a download of 540 MB"},
        RELEASED
        | {
            "--model voc21/crfrnn": "--model slim/crfrnn",
            # Trainings of two steps (see support.workplace).
            "fcn8s_iter_3500": "fcn8s_iter_2",
            "crfrnn_iter_500": "crfrnn_iter_1",
            "crfrnn_iter_1000": "crfrnn_iter_2",
            "-iterations 231": "-iterations 2",
            "-phase TEST -iterations 5": "-phase TEST -iterations 1",
        },
        7,
    ),
    "docs/tutorials/plugin.md": (
        {"make caffe-plugin": GENUINE, "LD_PRELOAD=": GENUINE, "import ctypes": GENUINE},
        {},
        1,
    ),
    "docs/mathematics.md": ({}, {}, 2),
    "docs/howto/score.md": ({}, {}, 5),
    "docs/howto/demo.md": ({"pip install": DOWNLOAD, "crfasrnn demo": ELSEWHERE}, {}, 0),
    "docs/howto/platforms.md": ({"pip install": DOWNLOAD}, {}, 0),
    "docs/reproduction.md": ({"crfasrnn reproduce": "hours; tests/crfasrnn/reproduction runs such in small"}, {}, 0),
}
EXPORT = Page("docs/howto/export.md", {"pip install": DOWNLOAD}, {"375 500": "48 64"})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", PAGES)
def test_page_runs(path: str, tmp_path: Path) -> None:
    omitted, shortened, least = PAGES[path]
    assert Page(path, omitted, shortened).run(workplace(tmp_path)) >= least


@pytest.mark.filterwarnings("ignore")
def test_page_on_export_runs(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"the page needs {package}: pip install 'crfasrnn[onnx]'")
    write_image(tmp_path / "photo.jpg", skimage.data.cat()[:, :, ::-1].copy())
    assert EXPORT.run(tmp_path) >= 5
    assert (tmp_path / "mine.onnx").stat().st_size > 1000


def test_page_on_export_names_input_and_output() -> None:
    text = EXPORT.text()
    assert f"`{INPUT}`" in text
    assert f"`{OUTPUT}`" in text
