"""caffe-classify beside the Classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.reference_data import shared_path

import caffe
from caffe.tools import classify

CIFAR = ("caffemodels", "cifar_v2")


def test_classify_stores_what_the_classifier_says(photos: Path) -> None:
    folder = shared_path(*CIFAR)
    model = [str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")]
    np.save(photos.parent / "mean.npy", np.array([113.9, 123.0, 125.3]))
    target = photos.parent / "scores.npy"
    flags = ["--model_def", model[0], "--pretrained_model", model[1], "--images_dim=36,40"]
    flags += ["--mean_file", str(photos.parent / "mean.npy"), "--ext", "png"]
    assert classify.main([*flags, str(photos), str(target)]) == 0
    classifier = caffe.Classifier(
        *model, (36, 40), np.array([113.9, 123.0, 125.3]), input_scale=1.0, raw_scale=255.0, channel_swap=(2, 1, 0)
    )
    pictures = [caffe.io.load_image(photos / name) for name in ("a b.png", "e.png")]
    np.testing.assert_array_equal(np.load(target), classifier.predict(pictures))
    assert classify.main([*flags, "--center_only", str(photos / "d.jpg"), str(target)]) == 0
    assert np.load(target).shape == (1, 10)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images", "out.npy"], "--model_def FILE"),
        (["--model_def=a", "--pretrained_model=b", "--images_dim=3", "images", "out"], "takes 2 whole numbers"),
        (["--model_def=a", "--pretrained_model=b", "--ext=gif", "images", "out"], "no file that ends in .gif"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(classify.main, words)
