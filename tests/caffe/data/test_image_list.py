"""Image lists, and the lines that are none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe.data.image_list import read_list
from caffe.errors import CaffeError


def test_files_and_labels_in_order(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a b.png 3\n\n  sub/ü.png   -2147483648 \r\nc 2147483647\nc 0", encoding="utf-8")
    assert read_list(tmp_path / "list.txt") == [("a b.png", 3), ("sub/ü.png", -(2**31)), ("c", 2**31 - 1), ("c", 0)]


@pytest.mark.parametrize("line", ["a.png", "7", "a.png x", "a.png 1.5", "a.png 2147483648", f"a.png {'9' * 5000}"])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"fine.png 1\n\n{line}\n")
    with pytest.raises(CaffeError, match=r"list\.txt, line 3: expected '<file> <label>', got '") as caught:
        read_list(path)
    assert len(str(caught.value)) < 400


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe 1\n")
    (tmp_path / "blank").write_text(" \n\n")
    for name, message in (
        ("nowhere", "cannot read the image list '.*nowhere': No such file"),
        ("binary", "is not UTF-8 text"),
        ("blank", "is empty"),
    ):
        with pytest.raises(CaffeError, match=message):
            read_list(tmp_path / name)
