"""PASCAL VOC's folders: lists, numbers, merged masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.datasets import (
    HEIGHT,
    WIDTH,
    labels_of,
    make_voc,
    only_labels,
)
from support.reference_data import REPOSITORY, shared_path

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES
from crfasrnn.datasets import voc, voc_list
from crfasrnn.pictures.label_maps import write_labels


def test_voc_keeps_its_numbers_and_joins_lists(tmp_path: Path) -> None:
    first, second = labels_of({0: 8, 1: 255}), labels_of({0: 20})
    root = make_voc(
        tmp_path / "VOC2007", {"train": {"a": first}, "val": {"b": second}, "trainval": {"b": second, "a": first}}
    )
    joined = voc(root, ["train", "trainval"])
    assert [example.name for example in joined] == ["a", "b"]
    assert joined.names == VOC_CLASSES
    np.testing.assert_array_equal([example.labels() for example in joined], [first, second])
    assert next(iter(joined)).image().shape == (HEIGHT, WIDTH, 3)


def test_a_list_may_lie_anywhere(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOC2012", {"val": {name: labels_of({0: 8}) for name in "abc"}})
    (tmp_path / "mine.txt").write_text("c\na\n")
    assert [example.name for example in voc(root, [str(tmp_path / "mine.txt")])] == ["c", "a"]
    with pytest.raises(CaffeError, match=r"no list '.*none.txt' in VOC folder .*; lists there: val"):
        voc(root, [str(tmp_path / "none.txt")])


def test_the_lists_of_the_results_are_those_that_were_scored() -> None:
    """All images of the data at hand, of which the results speak."""
    for name in ("train", "train_sbd", "val"):
        ours = (REPOSITORY / "docs" / "results" / "lists" / f"{name}.txt").read_text()
        assert (
            ours == shared_path("data", "VOCdevkit", "VOC2012", "ImageSets", "Segmentation", f"{name}.txt").read_text()
        )


def test_merged_masks_by_folder_and_by_pairs_of_paths(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"train_aug": {"a": labels_of({0: 8})}})
    (root / "SegmentationClassAug").mkdir()
    merged = labels_of({0: 9})
    write_labels(root / "SegmentationClassAug" / "a.png", merged)
    np.testing.assert_array_equal(only_labels(voc(root, ["train_aug"], "SegmentationClassAug")), merged)
    pairs = root / "ImageSets" / "Segmentation" / "pairs.txt"
    pairs.write_text("/JPEGImages/a.jpg /SegmentationClassAug/a.png\n")
    np.testing.assert_array_equal(only_labels(voc(root, ["pairs"])), merged)


def test_lists_and_files_that_are_missing_are_named(tmp_path: Path) -> None:
    labels = labels_of({})
    root = make_voc(tmp_path / "VOC2012", {"train": {"a0": labels, "a1": labels}, "val": {"b": labels}})
    assert [example.name for example in voc_list(root, "train")] == ["a0", "a1"]
    with pytest.raises(CaffeError, match=r"no list 'test' .*lists there: train, val"):
        voc_list(root, "test")
    with pytest.raises(CaffeError, match="it should hold ImageSets"):
        voc_list(tmp_path, "train")
    (root / "SegmentationClass" / "a1.png").unlink()
    with pytest.raises(CaffeError, match=r"names 'a1', but .*a1.png' is missing"):
        voc_list(root, "train")


def test_a_line_with_three_paths_is_refused(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"train": {"a": labels_of({})}})
    (root / "ImageSets" / "Segmentation" / "pairs.txt").write_text("/a.jpg /a.png\n/b.jpg /b.png /c.png\n")
    with pytest.raises(CaffeError, match=r"expected the paths of an image and a label map, found '/b\.jpg"):
        voc(root, ["pairs"])
