"""VOC's colours, and label maps that come back as they were."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from PIL import Image
from support.crfasrnn.datasets import labels_of
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.classes import Classes, unnamed_classes
from crfasrnn.pictures.label_maps import (
    class_palette,
    encode_labels,
    label_palette,
    read_labels,
    voc_palette,
    write_labels,
)

pytestmark = pytest.mark.usefixtures("bounded_memory")


CAT = np.ascontiguousarray(skimage.data.cat()[..., ::-1])  # BGR, 300 x 451


def test_the_palette_is_vocs() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 12: (64, 0, 128), 15: (192, 128, 128)}
    known |= {20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: tuple(int(v) for v in voc_palette()[index]) for index in known} == known


def test_label_pictures_hold_labels_and_show_the_classes_colours(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (20, 31)).astype(np.uint8)
    labels[0, 0] = 255
    write_labels(tmp_path / "labels.png", labels, label_palette((0, 8, 15)))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), labels)
    with Image.open(tmp_path / "labels.png") as picture:
        assert picture.mode == "P"
        shown = np.array(picture.convert("RGB"))
    expected = voc_palette()[np.array([0, 8, 15])[labels % 255]]
    np.testing.assert_array_equal(shown[labels != 255], expected[labels != 255])


def test_label_maps_with_colours_or_damage_are_refused(tmp_path: Path) -> None:
    (tmp_path / "colour.png").write_bytes(bytes(cv2.imencode(".png", CAT)[1]))
    with pytest.raises(CaffeError, match=r"has colours \(RGB\)"):
        read_labels(tmp_path / "colour.png")
    content = io.BytesIO()
    Image.fromarray(CAT[..., 0]).save(content, format="PNG")
    (tmp_path / "half.png").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    with pytest.raises(CaffeError, match="cannot read label map"):
        read_labels(tmp_path / "half.png")
    with pytest.raises(CaffeError, match="cannot read label map"):
        read_labels(tmp_path / "none.png")


@SETTINGS
@given(damaged([encode_labels(labels_of({0: 8}))]))
def test_label_maps(place: Path, content: bytes) -> None:
    one_error_or_a_result(read_labels, place, content)


def test_a_label_map_of_huge_size_is_not_decoded(tmp_path: Path) -> None:
    chunk = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + b"IHDR" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + chunk))
    body = zlib.compress(bytes(1000))
    data = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    with pytest.raises(CaffeError, match=r"a\.png"):
        read_labels(tmp_path / "a.png")


def requantised(path: Path, labels: np.ndarray) -> None:
    """Write VOC's labels as a program does that makes a palette of its own of the colours that occur."""
    Image.fromarray(voc_palette()[labels]).quantize(256).save(path)


def test_vocs_colours_must_agree_with_the_numbers(tmp_path: Path) -> None:
    labels = labels_of({0: 15, 1: 8, 2: 255})
    write_labels(tmp_path / "voc.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "voc.png", range(21)), labels)
    requantised(tmp_path / "new.png", labels)
    assert not np.array_equal(read_labels(tmp_path / "new.png"), labels)
    with pytest.raises(CaffeError, match=r"new.png': its label \d has the colour of VOC's class \d+, not of"):
        read_labels(tmp_path / "new.png", range(21))
    write_labels(tmp_path / "three.png", labels_of({0: 1, 1: 2}), label_palette((0, 8, 15)))
    assert read_labels(tmp_path / "three.png", (0, 8, 15)).max() == 2
    assert read_labels(tmp_path / "voc.png", (8, *range(1, 8), 0, *range(9, 21))).max() == 255
    with pytest.raises(
        CaffeError, match=r"label 1 has the colour of VOC's class 8, not of 1: .* name them by --classes"
    ):
        read_labels(tmp_path / "three.png", range(21))


def test_other_palettes_and_grey_values_say_nothing_about_numbers(tmp_path: Path) -> None:
    labels = labels_of({0: 15, 1: 8, 2: 255})
    Image.fromarray(labels).save(tmp_path / "grey.png")
    write_labels(tmp_path / "own.png", labels, np.random.default_rng(0).integers(1, 9, (256, 3)).astype(np.uint8))
    for name in ("grey.png", "own.png"):
        np.testing.assert_array_equal(read_labels(tmp_path / name, range(21)), labels)


def test_sixteen_bits_are_not_called_colours(tmp_path: Path) -> None:
    Image.fromarray(labels_of({0: 8}).astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(CaffeError, match=r"has more than 8 bits a pixel \(I;16\): .* 8-bit grey PNG"):
        read_labels(tmp_path / "deep.png")


def test_black_is_for_the_background() -> None:
    named = class_palette(Classes(("sky", "cat", "marked"), (0, 1, 255)))
    assert named[:3].tolist() == voc_palette()[[2, 1, 255]].tolist()
    assert class_palette(Classes(("background", "cat"), (0, 8)))[:2].tolist() == voc_palette()[[0, 8]].tolist()
    assert class_palette(unnamed_classes(3)).tolist() == voc_palette().tolist()


@pytest.mark.parametrize("labels", [[[256]], [[-1]], [[1.5]], [[np.inf]], [1, 2], [[[1]]], [[]]])
def test_what_a_png_of_labels_cannot_hold_is_refused(labels: Any) -> None:
    with pytest.raises(ValueError, match=r"labels must be (whole numbers of 0 to 255|H x W)"):
        encode_labels(labels)
    with pytest.raises(ValueError, match="a palette 256 x 3"):
        encode_labels(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_no_more_classes_are_asked_for_than_labels_can_be(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", np.ones((2, 2), np.uint8))
    assert read_labels(tmp_path / "a.png", range(1 << 40)).tolist() == [[1, 1], [1, 1]]


def test_a_palette_is_of_numbers_that_labels_can_be() -> None:
    for wrong, error in ((range(1 << 40), ValueError), ([256], ValueError), ([-1], ValueError), (["cat"], TypeError)):
        with pytest.raises(
            error, match=r"labels stand for at most 255 classes|class_ids must be an integer of 0 to 255"
        ):
            label_palette(wrong)
