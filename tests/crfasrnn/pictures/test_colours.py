"""Colours of one's own for classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES, Classes, unnamed_classes
from crfasrnn.pictures.colours import coloured
from crfasrnn.pictures.label_maps import class_palette, voc_palette

CLASSES = Classes(("background", "dining table", "cat"), (0, 11, 8))


def test_classes_are_named_by_name_or_label(tmp_path: Path) -> None:
    path = tmp_path / "colours.txt"
    path.write_bytes("\ufeffdining table 192 128 0\r\n\r\n 2\t#0080FF \r\n".encode())
    found = coloured(CLASSES, path)
    assert (found.names, found.voc_ids) == (CLASSES.names, CLASSES.voc_ids)
    assert found.colours == (None, (192, 128, 0), (0, 128, 255))
    palette = class_palette(found)
    assert palette[:3].tolist() == [[0, 0, 0], [192, 128, 0], [0, 128, 255]]
    assert (palette[3:] == voc_palette()[3:]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"cat 1 2 256",
            r":1: expected '<label or name> <red> <green> <blue>', 0 to 255 each, or .*, found 'cat 1 2 256'",
        ),
        (b"cat 1 2 3\ncat", r"colours\.txt:2: expected"),
        (b"#00ff00", r":1: expected"),
        (b"cat #00ff0", r":1: expected"),
        (b"dog 1 2 3", r":1: there is no class 'dog', but 0 to 2: background, dining table, cat"),
        (b"3 1 2 3", r":1: there is no class '3'"),
        ("cat 1 2 3".encode("utf-16"), "list of colours '.*' is not UTF-8 text: it is UTF-16, save it as UTF-8"),
    ],
)
def test_other_lines_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "colours.txt").write_bytes(content)
    with pytest.raises(CaffeError, match=message):
        coloured(CLASSES, tmp_path / "colours.txt")
    with pytest.raises(CaffeError, match=r"cannot read list of colours '.*none.txt': No such file"):
        coloured(CLASSES, tmp_path / "none.txt")


def test_many_classes_are_listed_in_part(tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text("x 1 2 3")
    with pytest.raises(CaffeError, match=r"0 to 20: background, .*car \.\.\.$"):
        coloured(Classes(VOC_CLASSES, tuple(range(21))), tmp_path / "colours.txt")
    with pytest.raises(CaffeError, match=r"0 to 20: their names are not known here$"):
        coloured(unnamed_classes(21), tmp_path / "colours.txt")
