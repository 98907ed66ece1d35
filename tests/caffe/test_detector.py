"""caffe.Detector: windows cut out of photographs, with context that may lie outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.caffe.classifiers import MEAN, model, photographs

import caffe


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


@pytest.mark.parametrize("window", [[0, 0, np.inf, 5], [0, np.nan, 5, 5], [0, 0, 5], [[0, 0, 5, 5]], [0, 0, 2**40, 5]])
def test_what_is_no_window_is_refused(window: Any) -> None:
    net = caffe.Detector(*model())
    with pytest.raises(ValueError, match=r"a window is \(ymin, xmin, ymax, xmax\) in pixels"):
        net.crop(np.zeros((8, 8, 3)), window)
