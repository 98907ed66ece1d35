"""caffe.Classifier and caffe.Detector on genuine CIFAR-10 weights and real photographs, against the steps done by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.reference_data import shared_path

import caffe

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# CIFAR-10's own mean colour, RGB.
MEAN = np.array([125.3, 123.0, 113.9])


def model() -> tuple[str, str]:
    folder = shared_path("caffemodels", "cifar_v2")
    return str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")


def photographs(count: int) -> list[str]:
    folder = shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages")
    return [str(path) for path in sorted(folder.glob("*.jpg"))[:count]]


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


def test_windows_without_context_are_cut_out(tmp_path: Path) -> None:
    detector = caffe.Detector(*model(), mean=MEAN, raw_scale=255)
    path = photographs(1)[0]
    windows = [(10, 20, 110, 140), [5, 6, 200, 100]]
    detections = detector.detect_windows([(path, windows)])
    picture = caffe.io.load_image(path)
    net = caffe.Net(*model(), caffe.TEST)
    for detection, (top, left, bottom, right) in zip(detections, windows, strict=True):
        assert detection["window"].tolist() == [top, left, bottom, right]
        assert detection["filename"] == path
        small = caffe.io.resize_image(picture[top:bottom, left:right], (32, 32))
        net.blobs["data"].data[...] = (255 * small - MEAN).transpose(2, 0, 1)
        np.testing.assert_allclose(detection["prediction"], net.forward()["prob"][0], atol=1e-5)
    assert detector.detect_windows([]) == []
    with pytest.raises(ValueError, match="no pixel"):
        detector.detect_windows([(path, [(50, 50, 50, 60)])])
    with pytest.raises(caffe.CaffeError, match=r"nowhere\.jpg"):
        detector.detect_windows([(tmp_path / "nowhere.jpg", windows)])


def test_context_fills_the_border() -> None:
    # A window of 15 + 1 pixels in an input of 32 with 8 around it: twice the window, pixel for pixel.
    detector = caffe.Detector(*model(), context_pad=8)
    ramp = np.tile(np.arange(64, dtype=np.float32)[:, None, None] / 64, (1, 64, 3))
    crop = detector.crop(ramp, np.array([24, 24, 39, 39]))
    assert crop.shape == (32, 32, 3)
    np.testing.assert_allclose(crop[0, 0], 16 / 64, atol=0.02)
    np.testing.assert_allclose(crop[-1, -1], 47 / 64, atol=0.02)


def test_context_outside_of_the_image_is_the_mean() -> None:
    mean = np.array([10.0, 20.0, 30.0])
    detector = caffe.Detector(*model(), mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=8)
    # Means are in the net's order, crops in the image's: blue, green, red of the net are 2, 1, 0 here.
    np.testing.assert_allclose(
        detector.crop_mean * np.ones((1, 1, 3)), np.full_like(detector.crop_mean, mean[::-1] / 255)
    )
    white = np.ones((40, 40, 3), np.float32)
    crop = detector.crop(white, (0, 12, 15, 27))
    np.testing.assert_allclose(crop[0], np.tile(mean[::-1] / 255, (32, 1)), atol=1e-6)
    np.testing.assert_allclose(crop[12:], 1)
    # After preprocessing the border is zero: what the net was trained to see as nothing.
    np.testing.assert_allclose(detector.transformer.preprocess("data", crop)[:, 0], 0, atol=1e-4)
    for window in ((30, 30, 40, 40), (0, 0, 40, 40), (-3, 5, 10, 60)):
        assert detector.crop(white, window).shape == (32, 32, 3)
    with pytest.raises(ValueError, match="context_pad 16"):
        detector.configure_crop(16)


def test_photographs_are_read_as_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    np.testing.assert_array_equal(caffe.io.load_image(tmp_path / "red.png")[0, 0], [1, 0, 0])
