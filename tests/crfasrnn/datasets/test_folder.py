"""Folders of photographs and masks, and lists drawn from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.crfasrnn.datasets import (
    labels_of,
    make_folder,
    photograph,
)

from caffe.errors import CaffeError
from crfasrnn.classes import write_classes
from crfasrnn.datasets import folder
from crfasrnn.datasets.folder import split


def test_folders_pair_by_name_and_take_lists_and_class_names(tmp_path: Path) -> None:
    paths = make_folder(tmp_path, {"b": labels_of({0: 1}), "a": labels_of({0: 2}), "c": labels_of({0: 3})})
    (tmp_path / "some.txt").write_text("c\na\n")
    (tmp_path / "classes.txt").write_text("0 ground\n1 tree trunk\n2 sky\n")
    assert [example.name for example in folder(*paths)] == ["a", "b", "c"]
    named = folder(*paths, [tmp_path / "some.txt"], tmp_path / "classes.txt")
    assert named.names == ("ground", "tree trunk", "sky")
    first, second = named
    assert (first.name, second.name) == ("c", "a")
    assert second.labels()[0, 0] == 2
    with pytest.raises(CaffeError, match=r"c\.png' of 'c' holds 3"):
        first.labels()


def test_two_photographs_of_one_name_are_refused(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({})})
    photograph(images / "a.png")
    with pytest.raises(CaffeError, match="would share one mask"):
        folder(images, masks)


def test_a_split_is_drawn_by_its_seed_and_loses_nothing() -> None:
    names = [f"p{index}" for index in range(20)]
    train, val = split(names, 0.3, seed=4)
    assert (len(train), len(val)) == (14, 6)
    assert sorted(train + val) == sorted(names)
    assert (train, val) == (sorted(train), sorted(val)) == split(names[::-1], 0.3, seed=4)
    assert split(names, 0.3, seed=5) != (train, val)
    assert len(split(names, 0.001, seed=4)[1]) == 1


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (10, 0), (10, 1), (10, 0.99), (0, 0.5)])
def test_a_split_without_a_part_is_refused(count: int, share: float) -> None:
    with pytest.raises(CaffeError, match=rf"{count} images? cannot be split"):
        split([str(index) for index in range(count)], share, seed=1)


@pytest.mark.parametrize(
    ("content", "words"), [("0 a\n2 b\n", "are not 0, 1, 2, ... in order"), ("", "must name 1 to 255 classes")]
)
def test_names_of_labels_that_are_none(tmp_path: Path, content: str, words: str) -> None:
    paths = make_folder(tmp_path, {"a": labels_of({})})
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(CaffeError, match=words):
        folder(*paths, names=tmp_path / "names.txt")


def test_names_may_stand_as_a_data_set_has_them(tmp_path: Path) -> None:
    paths = make_folder(tmp_path, {"a": labels_of({})})
    write_classes(tmp_path / "classes.txt", ("background", "cat"))
    assert folder(*paths, names=tmp_path / "classes.txt").names == ("background", "cat")


def test_another_label_may_be_void(tmp_path: Path) -> None:
    paths = make_folder(tmp_path, {"a": labels_of({0: 1, 1: 2, 2: 255})})
    (tmp_path / "names.txt").write_text("ground\ntree\nvoid\n")
    for names in ("ground\ntree\nvoid\n", "ground\ntree\n"):
        (tmp_path / "names.txt").write_text(names)
        named = folder(*paths, (), tmp_path / "names.txt", void=2)
        assert named.names == ("ground", "tree")
        assert next(iter(named)).labels()[:4, 0].tolist() == [1, 255, 255, 0]
    assert next(iter(folder(*paths, void=1))).labels()[:3, 0].tolist() == [255, 2, 255]


def test_what_macos_leaves_beside_photographs_is_none(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({})})
    (images / "._a.jpg").write_bytes(b"Mac OS X")
    assert [example.name for example in folder(images, masks)] == ["a"]


def test_suffixes_may_be_in_capitals_and_an_empty_list_is_what_is_empty(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({0: 3})})
    (masks / "a.png").rename(masks / "a.PNG")
    assert next(iter(folder(images, masks).require_files())).labels()[0, 0] == 3
    (tmp_path / "none.txt").touch()
    with pytest.raises(CaffeError, match=r"list '.*none.txt' is empty"):
        folder(images, masks, [tmp_path / "none.txt"]).require_files()
