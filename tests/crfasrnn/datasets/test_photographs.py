"""Which photographs are meant by files, folders, patterns and lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.crfasrnn.datasets import photograph

from caffe.errors import CaffeError
from crfasrnn.datasets.photographs import photographs


def test_files_folders_and_patterns_stand_for_photographs(tmp_path: Path) -> None:
    for name in ("one/b.png", "one/a.JPG", "two/deep/c.jpg", "two/d.jpg", "two/.hidden.jpg"):
        photograph(tmp_path / name)
    for name in ("one/notes.txt", "two/d.txt"):
        (tmp_path / name).touch()

    def found(*paths: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in photographs([tmp_path / path for path in paths])]

    assert found("two/d.jpg", "one") == ["two/d.jpg", "one/a.JPG", "one/b.png"]
    assert found("*/[ad].*") == ["one/a.JPG", "two/d.jpg"]
    assert found("**/*.jpg") == ["two/d.jpg", "two/deep/c.jpg"]
    photograph(tmp_path / "what[1].png")  # a name, since there is such a file
    assert found("what[1].png") == ["what[1].png"]


def test_lists_choose_in_their_order(tmp_path: Path) -> None:
    for name in "abcd":
        photograph(tmp_path / "in" / f"{name}.png")
    for name, text in (("first.txt", "c\na\n"), ("second.txt", "a\nd\n"), ("wrong.txt", "a\ne\n")):
        (tmp_path / name).write_text(text)
    found = photographs([tmp_path / "in"], [tmp_path / "first.txt", tmp_path / "second.txt"])
    assert [path.stem for path in found] == ["c", "a", "d"]
    with pytest.raises(CaffeError, match=r"wrong.txt' names 'e', but there is no such photograph"):
        photographs([tmp_path / "in"], [tmp_path / "wrong.txt"])


def test_names_that_are_missing_or_double_are_refused(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "twin" / "a.jpg")
    (tmp_path / "empty").mkdir()
    for images, words in (
        ([tmp_path / "a.png", tmp_path / "none.png"], "none.png': no such file"),
        ([tmp_path / "empty"], "no images in .*empty"),
        ([tmp_path / "empty" / "*.png"], r"no images in .*empty/\*.png"),
        ([tmp_path, tmp_path / "twin"], "results of the same name"),
        ([tmp_path / "a.png", tmp_path / "twin" / "a.jpg"], "would write results of the same name"),
    ):
        with pytest.raises(CaffeError, match=words):
            photographs(images)
