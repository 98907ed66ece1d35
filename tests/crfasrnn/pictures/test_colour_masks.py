"""Masks in colours, black and white, and numbers, in any kind of file, as label PNGs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.classes import read_classes
from crfasrnn.pictures.colour_masks import convert_masks, read_mask
from crfasrnn.pictures.label_maps import read_labels, voc_palette
from crfasrnn.pictures.palettes import PALETTES, Palette, palette

COLOURS = np.array([[0, 0, 0], [250, 10, 20], [20, 240, 40]], np.uint8)
OWN = Palette("own", ("ground", "plant"), (((0, 0, 0), 255), ((250, 10, 20), 0), ((20, 240, 40), 1)))
INDEX = np.random.default_rng(0).integers(0, 3, (9, 8))
LABELS = np.array([255, 0, 1], np.uint8)[INDEX]
KINDS = {"PNG": ".PNG", "BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif", "WEBP": ".webp", "PPM": ".ppm"}


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_colours_in_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / f"a{KINDS[kind]}", COLOURS[INDEX], **({"lossless": True} if kind == "WEBP" else {}))
    mask = read_mask(path, OWN)
    np.testing.assert_array_equal(mask.labels, LABELS)
    assert (mask.labels.dtype, mask.replaced) == (np.uint8, 0)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_alpha_is_dropped_and_palettes_are_looked_up(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(COLOURS[INDEX]).convert(mode, palette=Image.Palette.ADAPTIVE)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", OWN).labels, LABELS)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGB"])
def test_black_and_white(tmp_path: Path, mode: str) -> None:
    marked = INDEX == 1
    path = save(tmp_path / "a.png", np.where(marked, 255, 0).astype(np.uint8), mode)
    np.testing.assert_array_equal(read_mask(path, PALETTES["binary"]).labels, marked)


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "I;16"])
def test_numbers_stay_what_they_are(tmp_path: Path, mode: str) -> None:
    pixels = INDEX.astype(np.uint16 if mode == "I;16" else np.uint8)
    path = save(tmp_path / "a.tif", pixels, None if mode == "I;16" else mode)
    np.testing.assert_array_equal(read_mask(path).labels, INDEX)


def test_vocs_masks_saved_as_rgb(tmp_path: Path) -> None:
    labels = np.array([[0, 15, 20], [255, 1, 8]], np.uint8)
    np.testing.assert_array_equal(
        read_mask(save(tmp_path / "a.png", voc_palette()[labels]), palette("voc")).labels, labels
    )


def test_another_colour_is_an_error_or_the_nearest(tmp_path: Path) -> None:
    pixels = COLOURS[INDEX]
    pixels[4, 5], pixels[4, 6], pixels[7, 0] = (250, 13, 24), (250, 13, 24), (30, 230, 40)
    path = save(tmp_path / "a.png", pixels)
    words = (
        r"a.png': row 4, column 5 has the colour 250 13 24 \(#fa0d18\), which is not in palette 'own' \(3 pixels of 2 such "
        r"colours; nearest to it is ground, 250 10 20"
    )
    with pytest.raises(CaffeError, match=words):
        read_mask(path, OWN)
    mask = read_mask(path, OWN, nearest=True)
    assert (mask.labels[4, 5], mask.labels[4, 6], mask.labels[7, 0]) == (0, 0, 1)
    assert (mask.replaced, mask.furthest) == (3, pytest.approx(200**0.5))


def test_a_jpeg_of_flat_colours_needs_the_nearest(tmp_path: Path) -> None:
    index = np.kron([[0, 1], [2, 0]], np.ones((16, 16), int))
    path = save(tmp_path / "a.jpg", COLOURS[index], quality=95)
    with pytest.raises(CaffeError, match="as a JPEG needs"):
        read_mask(path, OWN)
    np.testing.assert_array_equal(read_mask(path, OWN, nearest=True).labels, np.array([255, 0, 1])[index])
    with pytest.raises(CaffeError, match="a JPEG, which does not keep numbers"):
        read_mask(path)


def test_what_says_no_label(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"row 0, column \d has the colour .*, and no palette says what it means"):
        read_mask(save(tmp_path / "a.png", COLOURS[INDEX]))
    deep = INDEX.astype(np.uint16)
    deep[3, 2] = 300
    with pytest.raises(CaffeError, match="row 3, column 2 has the value 300; labels are 0 to 255"):
        read_mask(save(tmp_path / "b.png", deep))
    (tmp_path / "c.png").write_bytes(b"?")
    with pytest.raises(CaffeError, match=r"cannot read mask .*c.png': it is not an image"):
        read_mask(tmp_path / "c.png")
    with pytest.raises(CaffeError, match=r"d.png': No such file"):
        read_mask(tmp_path / "d.png")


def test_a_folder_is_converted_whole_or_not_at_all(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{stem}_L{suffix}", COLOURS[INDEX]) for stem, suffix in (("a", ".bmp"), ("b", ".TIF"))]
    output = tmp_path / "new" / "masks"
    output.parent.mkdir()
    assert len(list(convert_masks(files, output, OWN, ending="_L"))) == 2
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png", "classes.txt"]
    np.testing.assert_array_equal(read_labels(output / "b.png"), LABELS)
    assert read_classes(output / "classes.txt").names == OWN.names
    with Image.open(output / "a.png") as shown:
        np.testing.assert_array_equal(np.array(shown.convert("RGB"))[INDEX > 0], COLOURS[INDEX][INDEX > 0])
    files.append(save(tmp_path / "c_L.png", 255 - COLOURS[INDEX]))
    with pytest.raises(CaffeError, match=r"c_L\.png"):
        list(convert_masks(files, tmp_path / "none", OWN, ending="_L"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_L.bmp", "b_L.TIF", "c_L.png", "new"]


def test_names_that_would_be_one_or_nobodys(tmp_path: Path) -> None:
    png, bmp = (save(tmp_path / f"a{suffix}", INDEX.astype(np.uint8)) for suffix in (".png", ".bmp"))
    with pytest.raises(CaffeError, match=r"a.png' and .*a.bmp' would both become 'a.png'"):
        list(convert_masks([png, bmp], tmp_path / "out"))
    with pytest.raises(CaffeError, match="does not end with '_mask'"):
        list(convert_masks([png], tmp_path / "out", ending="_mask"))
    before = png.read_bytes()
    with pytest.raises(CaffeError, match="would be overwritten"):
        list(convert_masks([png], tmp_path))
    assert png.read_bytes() == before
    assert not (tmp_path / "out").exists()


def _pictures() -> list[bytes]:
    found = []
    for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {})):
        stream = io.BytesIO()
        Image.fromarray(COLOURS[INDEX]).save(stream, format=kind, **options)
        found.append(stream.getvalue())
    return found


@pytest.mark.usefixtures("bounded_memory")
@SETTINGS
@given(damaged(_pictures()), st.booleans())
def test_damaged_masks(place: Path, content: bytes, nearest: bool) -> None:
    one_error_or_a_result(lambda path: read_mask(path, OWN, nearest), place, content)
