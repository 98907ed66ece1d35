"""caffe-detect beside the Detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.reference_data import shared_path

import caffe
from caffe.tools import detect

CIFAR = ("caffemodels", "cifar_v2")


def test_detect_stores_what_the_detector_says(photos: Path) -> None:
    folder = shared_path(*CIFAR)
    model = [str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")]
    listing = photos.parent / "windows.csv"
    listing.write_text(
        f"filename,ymin,xmin,ymax,xmax\n{photos}/d.jpg,1,2,7,8\n{photos}/d.jpg,0,0,10,12\n{photos}/e.png,0,0,5,5\n"
    )
    flags = ["--model_def", model[0], "--pretrained_model", model[1], "--context_pad=4"]
    target = photos.parent / "found.csv"
    assert detect.main([*flags, str(listing), str(target)]) == 0
    rows = [line.split(",") for line in target.read_text().splitlines()]
    assert rows[0] == [*(f"class{k}" for k in range(10)), "ymin", "xmin", "ymax", "xmax", "filename"]
    detector = caffe.Detector(*model, input_scale=1.0, raw_scale=255.0, channel_swap=(2, 1, 0), context_pad=4)
    windows = [(f"{photos}/d.jpg", [(1, 2, 7, 8), (0, 0, 10, 12)]), (f"{photos}/e.png", [(0, 0, 5, 5)])]
    for row, found in zip(rows[1:], detector.detect_windows(windows), strict=True):
        np.testing.assert_array_equal([float(value) for value in row[:10]], found["prediction"])
        assert row[10:] == [*map(str, found["window"]), found["filename"]]
    assert detect.main([*flags, str(listing), str(photos.parent / "found.h5")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model_def=a", "--pretrained_model=b", "bad.txt", "out.csv"], "lacks filename, ymin"),
        (["--model_def=a", "--pretrained_model=b", "bad.txt", "out.xls"], "Unknown output file extension"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(detect.main, words)
