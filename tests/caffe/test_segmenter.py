"""caffe.Segmenter of the CRF-RNN fork, in the calls of its demo of 2015."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score" convolution_param { num_output: 4 kernel_size: 3 pad: 1
  weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 10 } } }"""


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Prototxt and weights."""
    (tmp_path / "deploy.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    yield str(tmp_path / "deploy.prototxt"), str(tmp_path / "w.caffemodel")
    caffe.set_mode_cpu()


def truth(files: tuple[str, str], picture: np.ndarray) -> np.ndarray:
    """The best class of every pixel by torch's convolution."""
    weights, bias = (torch.from_numpy(blob.data) for blob in caffe.Net(*files, caffe.TEST).params["score"])
    scores = torch.nn.functional.conv2d(
        torch.from_numpy(picture.transpose(2, 0, 1))[None].float(), weights, bias, padding=1
    )
    return scores[0].argmax(0).numpy()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, (height, width, 3))


def test_predict_labels_pixels(files: tuple[str, str]) -> None:
    net = caffe.Segmenter(*files, gpu=False)
    for size in ((20, 20), (14, 31)):
        labels = net.predict([picture(*size)])
        assert labels.dtype == np.uint8
        assert len(np.unique(labels)) > 1
        np.testing.assert_array_equal(labels, truth(files, picture(*size)))
    both = net.predict(np.stack([picture(9, 8), picture(9, 8, 1)]))
    np.testing.assert_array_equal(both, [truth(files, picture(9, 8)), truth(files, picture(9, 8, 1))])


def test_pictures_that_it_cannot_take(files: tuple[str, str]) -> None:
    net = caffe.Segmenter(*files)
    for wrong, words in (
        ([], "a list of pictures"),
        (picture(20, 20), r"predict\(\[picture\]\)"),
        ([picture(20, 20)[:, :, 0]], "H x W x 3"),
        ([picture(20, 20)[:, :, :1]], "H x W x 3"),
        ([picture(20, 20)[:0]], "H x W x 3"),
        ([picture(20, 20), picture(20, 21)], "of one size"),
    ):
        with pytest.raises(ValueError, match=words):
            net.predict(wrong)
    if not torch.cuda.is_available():
        with pytest.raises(caffe.CaffeError, match="no CUDA device"):
            caffe.Segmenter(*files, gpu=True)


def test_other_nets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "y" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    caffe.Net(str(tmp_path / "rows.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    with pytest.raises(caffe.CaffeError, match="N x C x H x W"):
        caffe.Segmenter(str(tmp_path / "rows.prototxt"), str(tmp_path / "w.caffemodel"))
