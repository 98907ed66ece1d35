"""Palettes by name and from files in the forms that labelling programs and data sets use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import SETTINGS, damaged_text, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES
from crfasrnn.pictures.label_maps import voc_palette
from crfasrnn.pictures.palettes import PALETTES, Palette, palette

SKY, ROAD = (128, 128, 128), (128, 64, 255)
FORMS = {
    "camvid": "name,r,g,b\nSky,128,128,128\nRoad,128,64,255\n",
    "plain": "Sky,128,128,128\n\nRoad,128,64,255\n",
    "semicolons": "\ufeffSky;128;128;128\r\nRoad;128;64;255\r\n",
    "tabs in front": "128 128 128\tSky\n128 64 255\tRoad\n",
    "spaces": "Sky 128 128 128\nRoad 128 64 255\n",
    "hex": "Sky #808080\nRoad #8040FF\n",
    "hex first": "#808080,Sky\n#8040ff,Road\n",
    "numbers": "0,Sky,128,128,128\n1,Road,128,64,255\n",
    "numbers, names last": "1,128,64,255,Road\n0,128,128,128,Sky\n",
    "numbers and hex": "1 #8040ff Road\n0 #808080 Sky\n",
    "cvat": "# label:color_rgb:parts:actions\nSky:128,128,128::\nRoad:128,64,255::\n",
    "headings": 'ID,Colour,Note,Name\n1,"(128, 64, 255)",x,Road\n0,"(128, 128, 128)",y,Sky\n',
    "label is a name": "label,color\nSky,#808080\nRoad,#8040ff\n",
}


def written(folder: Path, content: str, void: tuple[str, ...] = ()) -> Palette:
    path = folder / "classes.csv"
    path.write_text(content, newline="")
    return palette(path, void)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    found = written(tmp_path, form)
    assert found.names == ("Sky", "Road")
    assert dict(found.labels) == {SKY: 0, ROAD: 1}
    assert found.shown()[:3].tolist() == [list(SKY), list(ROAD), voc_palette()[2].tolist()]


def test_colours_of_one_name_are_one_label_and_void_is_left_out(tmp_path: Path) -> None:
    lines = "Void,0,0,0\nSky,1,1,1\nRoad,2,2,2\nSky,3,3,3\n"
    assert written(tmp_path, lines).names == ("Void", "Sky", "Road")
    found = written(tmp_path, lines, ("Void",))
    assert found.names == ("Sky", "Road")
    assert dict(found.labels) == {(0, 0, 0): 255, (1, 1, 1): 0, (2, 2, 2): 1, (3, 3, 3): 0}
    assert found.shown()[0].tolist() == [1, 1, 1]
    numbered = written(tmp_path, "255,edge,9,9,9\n1,b,2,2,2\n0,a,1,1,1\n-1,out,8,8,8\n")
    assert numbered.names == ("a", "b")
    assert dict(numbered.labels) == {(9, 9, 9): 255, (2, 2, 2): 1, (1, 1, 1): 0, (8, 8, 8): 255}


def test_names_with_spaces_and_without(tmp_path: Path) -> None:
    assert written(tmp_path, "traffic light 1 2 3\n4 5 6 dining table\n").names == ("traffic light", "dining table")
    assert written(tmp_path, "1 2 3\n4 5 6\n").names == ("class 1", "class 2")
    assert written(tmp_path, '"road, wet",1,2,3\n').names == ("road, wet",)


def test_vocs_has_its_colours_and_its_border() -> None:
    found = palette("voc")
    assert found.names == VOC_CLASSES
    np.testing.assert_array_equal(found.colours()[:21], voc_palette()[:21])
    assert found.labels[-1] == ((224, 224, 192), 255)
    assert PALETTES["binary"].labels == (((0, 0, 0), 0), ((255, 255, 255), 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no colour"),
        ("a,1,2,3\nb,1,2\n", "classes.csv:2: expected 'name,red,green,blue'"),
        ("a,1,2,256\n", "classes.csv:1: expected"),
        ("a,1,2,3,4\n", "classes.csv:1: expected"),
        ("a,1,2,3\nb,1,2,3\n", r"csv:2: colour 1 2 3 \(#010203\) has meant another class"),
        ("0,a,1,2,3\nb,4,5,6\n", "csv:2: a number in front of every name or of none"),
        ("0,a,1,2,3\n2,b,4,5,6\n", "must be 0 to 1, but 1 is missing"),
        ("0,a,1,2,3\n0,b,4,5,6\n", "label 0 is 'a' and 'b'"),
        ("300,a,1,2,3\n", "labels are 0 to 254"),
        ("255,a,1,2,3\n", "no class that is not void"),
        ("name,r,g,b\na,1,2\n", "csv:2: expected"),
        ("".join(f"c{i},{i % 256},{i // 256},0\n" for i in range(256)), "csv:256: labels are 0 to 254"),
    ],
)
def test_anything_else_is_one_error(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        written(tmp_path, content)


def test_void_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="no class 'sky' that could be void, but Sky"):
        written(tmp_path, FORMS["plain"], ("sky",))
    with pytest.raises(CaffeError, match="has its void already"):
        palette("voc", ("cat",))
    with pytest.raises(CaffeError, match="neither a file of colours nor one of voc, binary"):
        palette("vok")
    with pytest.raises(CaffeError, match="No such file"):
        palette(tmp_path / "other.csv")


@SETTINGS
@given(st.one_of(*(damaged_text([form.encode()]) for form in FORMS.values())))
def test_damaged_palettes(place: Path, content: bytes) -> None:
    one_error_or_a_result(palette, place, content)
