"""Photographs of every kind are read alike, and files that are none give one clear error."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageOps

from caffe.errors import CaffeError
from caffe.inputs import images
from crfasrnn.pictures.photographs import exif_remark, is_turned, read_image, resized, write_image

CAT = np.ascontiguousarray(skimage.data.cat()[..., ::-1])  # BGR, 300 x 451


def encoded(suffix: str, picture: np.ndarray = CAT) -> bytes:
    """The picture as a file of that format."""
    return bytes(cv2.imencode(suffix, picture)[1])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cat{suffix}"
    path.write_bytes(encoded(suffix))
    np.testing.assert_array_equal(read_image(path), CAT)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cat{suffix}"
    path.write_bytes(encoded(suffix))
    read = read_image(path)
    assert read.shape == CAT.shape
    assert np.abs(read.astype(int) - CAT).mean() < 4


def test_grey_alpha_palette_and_sixteen_bits(tmp_path: Path) -> None:
    grey = skimage.data.camera()[:60, :80]
    kinds = {
        "grey": Image.fromarray(grey),
        "alpha": Image.fromarray(np.dstack([np.repeat(grey[..., None], 3, 2), 255 - grey])),
        "grey-alpha": Image.fromarray(np.dstack([grey, 255 - grey])),
        "sixteen": Image.fromarray(grey.astype(np.uint16) * 256 + 200),
    }
    expected = np.repeat(grey[..., None], 3, 2)
    for name, picture in kinds.items():
        picture.save(tmp_path / f"{name}.png")
        read = read_image(tmp_path / f"{name}.png")
        assert read.dtype == np.uint8
        assert np.abs(read.astype(int) - expected).max() <= (1 if name == "sixteen" else 0), name
    palette = Image.fromarray(CAT[..., ::-1]).quantize(16)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.array(palette.convert("RGB"))[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(CAT[..., ::-1]).save(path, exif=exif)
    with Image.open(path) as picture:
        expected = np.array(ImageOps.exif_transpose(picture))[..., ::-1]
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(read_image(path, upright=False), CAT)
    assert is_turned(path) == (orientation > 1)
    assert bool(exif_remark(path, True)) == (orientation > 1)


def test_exif_turns_a_jpeg_unless_it_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    Image.fromarray(CAT[..., ::-1]).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_image(tmp_path / "turned.jpg").shape == (451, 300, 3)
    assert read_image(tmp_path / "turned.jpg", upright=False).shape == (300, 451, 3)
    corner = read_image(tmp_path / "turned.jpg")[:20, -20:].astype(int)
    assert np.abs(corner - np.rot90(CAT, -1)[:20, -20:]).mean() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture) -> None:
    data = encoded(suffix)
    path = tmp_path / f"part{suffix}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CaffeError, match=r"cannot read image '.*part"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(CaffeError, match="directory"):
        read_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(CaffeError, match="the file is empty"):
        read_image(tmp_path / "empty.png")
    for name, content in (("text.jpg", b"not a picture\n" * 20), ("zeros.png", bytes(5000)), ("one.bmp", b"B")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CaffeError, match="not an image, damaged, or of another kind"):
            read_image(tmp_path / name)


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for side in (9000, 60000):  # beyond our own limit, and beyond that of the parser
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(bomb)
        with pytest.raises(CaffeError, match=r"too large|pixels; at most"):
            read_image(tmp_path / "bomb.png")


def test_the_limit_itself_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.png").write_bytes(encoded(".png"))
    monkeypatch.setattr(images, "MAX_PIXELS", 300 * 451)
    assert read_image(tmp_path / "cat.png").shape == CAT.shape
    monkeypatch.setattr(images, "MAX_PIXELS", 300 * 451 - 1)
    with pytest.raises(CaffeError, match="451 x 300 pixels"):
        read_image(tmp_path / "cat.png")


def test_resized_keeps_the_proportions_and_never_enlarges() -> None:
    assert resized(300, 400, 500) == (400, 300)
    assert resized(3000, 4000, 500) == (500, 375)
    assert resized(4000, 1, 500) == (1, 500)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises((CaffeError, cv2.error)):
        write_image(tmp_path / "cat.nosuchformat", CAT)
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_opencv_cannot_take_are_refused(tmp_path: Path) -> None:
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1 << 16, 1 << 16, 3))
    for image in (huge, huge[..., 0]):
        with pytest.raises(CaffeError, match="65536 x 65536 pixels"):
            write_image(tmp_path / "a.png", image)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png\udc80", "a.pn\u0261", "a"])
def test_suffixes_that_opencv_cannot_take_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaffeError, match="cannot write image"):
        write_image(tmp_path / name, CAT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("image", [None, 3, [[1]], CAT[..., :2], CAT.astype(float), CAT[:0], CAT[None]])
def test_what_is_no_picture_is_not_written(tmp_path: Path, image: Any) -> None:
    with pytest.raises(CaffeError, match="expected an H x W x 3 or H x W uint8 image"):
        write_image(tmp_path / "a.png", image)
    assert list(tmp_path.iterdir()) == []
