"""VOC's colours, and label maps that come back as they were."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from PIL import Image
from support.crfasrnn.datasets import labels_of
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.pictures.label_maps import encode_labels, label_palette, read_labels, voc_palette, write_labels

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
