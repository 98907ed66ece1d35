"""caffe.Classifier and caffe.Detector on genuine CIFAR-10 weights and real photographs, against the steps done by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.caffe.classifiers import MEAN, model, photographs
from support.reference_data import shared_path

import caffe

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_predict_averages_ten_crops() -> None:
    classifier = caffe.Classifier(*model(), image_dims=(40, 44), mean=MEAN, raw_scale=255)
    pictures = [caffe.io.load_image(path) for path in photographs(2)]
    predictions = classifier.predict(pictures)
    assert predictions.shape == (2, 10)
    net = caffe.Net(*model(), caffe.TEST)
    for picture, prediction in zip(pictures, predictions):
        small = caffe.io.resize_image(picture, (40, 44))
        scores = []
        for top, left in ((0, 0), (0, 12), (8, 0), (8, 12), (4, 6)):
            crop = small[top : top + 32, left : left + 32]
            for view in (crop, crop[:, ::-1]):
                net.blobs["data"].data[...] = (255 * view - MEAN).transpose(2, 0, 1)
                scores.append(net.forward()["prob"].ravel().copy())
        np.testing.assert_allclose(prediction, np.mean(scores, axis=0), atol=1e-5)


def test_predict_takes_the_centre_without_oversampling() -> None:
    classifier = caffe.Classifier(*model(), image_dims=[41, 32], mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0))
    picture = caffe.io.load_image(photographs(1)[0])
    prediction = classifier.predict([picture], oversample=False)
    net = caffe.Net(*model(), caffe.TEST)
    crop = caffe.io.resize_image(picture, (41, 32))[4:36, :, ::-1]
    net.blobs["data"].data[...] = (255 * crop - MEAN).transpose(2, 0, 1)
    np.testing.assert_allclose(prediction, net.forward()["prob"], atol=1e-5)


def cats_and_horses(count: int) -> tuple[list[np.ndarray], list[str]]:
    """Squares around the animals of real photographs, found by their masks, with the names of the animals."""
    folder = shared_path("data", "VOCdevkit", "VOC2012")
    pictures: list[np.ndarray] = []
    names: list[str] = []
    for path in sorted((folder / "SegmentationClass").glob("*.png")):
        mask = np.array(Image.open(path))
        for value, name in ((8, "cat"), (13, "horse")):
            rows, columns = np.nonzero(mask == value)
            if rows.size > 0.15 * mask.size and len(pictures) < count:
                size = int(max(np.ptp(rows), np.ptp(columns))) + 1
                top = max(0, (rows.min() + rows.max() - size) // 2)
                left = max(0, (columns.min() + columns.max() - size) // 2)
                picture = caffe.io.load_image(folder / "JPEGImages" / f"{path.stem}.jpg")
                square = picture[top : top + size, left : left + size]
                pictures.append(cv2.resize(square, (32, 32), interpolation=cv2.INTER_AREA))
                names.append(name)
    return pictures, names


def test_cats_and_horses_are_recognised() -> None:
    classifier = caffe.Classifier(*model(), mean=MEAN, raw_scale=255)
    pictures, names = cats_and_horses(40)
    best = [NAMES[k] for k in classifier.predict(pictures, oversample=False).argmax(axis=1)]
    # One in ten would be chance; photographs of another collection cost some of the net's 81 %.
    assert np.mean([found == name for found, name in zip(best, names, strict=True)]) > 0.4


def test_wrong_use_of_the_classifier(tmp_path: Path) -> None:
    classifier = caffe.Classifier(*model(), image_dims=(20, 40))
    with pytest.raises(ValueError, match="does not fit"):
        classifier.predict([np.zeros((50, 50, 3))])
    with pytest.raises(ValueError, match="smaller than the net's input"):
        classifier.predict([np.zeros((50, 50, 3))], oversample=False)
    with pytest.raises(ValueError, match="at least one image"):
        classifier.predict([])
    flat = tmp_path / "flat.prototxt"
    flat.write_text('layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 3 } } }')
    with pytest.raises(caffe.CaffeError, match="N x C x H x W"):
        caffe.Classifier(str(flat), None)
    flat.write_text('layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } } }')
    with pytest.raises(caffe.CaffeError, match="needs an input blob"):
        caffe.Classifier(str(flat), None)


def test_images_that_the_classifier_cannot_take() -> None:
    classifier = caffe.Classifier(*model())
    colour = np.zeros((40, 40, 3), np.float32)
    with pytest.raises(ValueError, match=r"a list of images H x W x K: predict\(\[image\]\)"):
        classifier.predict(colour)
    for grey, words in (
        (colour[:, :, 0], "a grey one becomes that by"),
        (colour[:, :, :1], "an image of 1 channel"),
        (colour[:0], "not of shape"),
    ):
        for oversample in (True, False):
            with pytest.raises(ValueError, match=words):
                classifier.predict([grey], oversample)


def test_photographs_are_read_as_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    np.testing.assert_array_equal(caffe.io.load_image(tmp_path / "red.png")[0, 0], [1, 0, 0])
