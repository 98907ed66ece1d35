"""Text files of strangers: names that stay inside, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe.errors import CaffeError
from crfasrnn.datasets import lists
from crfasrnn.datasets.lists import check_inside, read_lines, read_names


def test_lines_that_hold_something_come_in_order(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("b\n\n  a c \r\n\t\nd/e", encoding="utf-8")
    assert read_lines(tmp_path / "list.txt") == ["b", "a c", "d/e"] == read_names(tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["../secret", "/etc/x", "a/../../b", "a\0b"])
def test_lists_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.txt").write_text(f"fine\n{name}\n")
    with pytest.raises(CaffeError, match=r"list '.*list.txt' names .*, which is outside the data set's folder"):
        read_names(tmp_path / "list.txt")
    with pytest.raises(CaffeError, match="a file names"):
        check_inside(name, "a file")


def test_files_that_are_no_lists_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(CaffeError, match=r"cannot read list .*No such file"):
        read_lines(path)
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CaffeError, match="is not UTF-8 text"):
        read_lines(path)
    path.write_text("a\nb\na\n")
    with pytest.raises(CaffeError, match="names 'a' twice"):
        read_names(path)
    monkeypatch.setattr(lists, "MAX_LIST", 5)
    with pytest.raises(CaffeError, match="it has more than 5 bytes"):
        read_lines(path)
