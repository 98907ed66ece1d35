"""Examples and data sets: choosing, renumbering and refusing labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.crfasrnn.datasets import (
    labels_of,
    make_folder,
    make_voc,
    only_labels,
    photograph,
)

from caffe.errors import CaffeError
from crfasrnn.datasets import folder, select_classes, voc
from crfasrnn.pictures.label_maps import write_labels


def test_a_label_out_of_range_is_named_with_file_and_place(tmp_path: Path) -> None:
    labels = labels_of({})
    labels[3, 5] = 77
    root = make_voc(tmp_path, {"train": {"a": labels}})
    with pytest.raises(CaffeError, match=r"a\.png' of 'a' holds 77 at row 3, column 5.*0 to 20"):
        only_labels(voc(root, ["train"]))


def test_select_renumbers_and_sends_the_rest_to_void_or_background(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"train": {"a": labels_of({0: 8, 1: 15, 2: 3, 3: 255})}})
    data = voc(root, ["train"])
    ignored, background = data.select([0, 15, 8]), data.select([0, 15, 8], "background")
    assert ignored.names == ("background", "person", "cat")
    assert only_labels(ignored)[:5, 0].tolist() == [2, 1, 255, 255, 0]
    assert only_labels(background)[:5, 0].tolist() == [2, 1, 0, 255, 0]
    again = ignored.select([0, 2])
    assert again.names == ("background", "cat")
    assert only_labels(again)[:5, 0].tolist() == [1, 255, 255, 255, 0]
    with pytest.raises(CaffeError, match=r"classes 0 to 20, but class 21"):
        data.select([0, 21])


def test_zero_becomes_void_as_for_ade(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "a.png", labels_of({0: 1, 1: 150, 2: 255}))
    assert only_labels(folder(tmp_path / "images", tmp_path / "masks").without_zero())[:4, 0].tolist() == [
        0,
        149,
        255,
        255,
    ]


def test_classes_are_numbered_in_the_order_given() -> None:
    labels = np.array([[0, 8, 15, 255, 3]], np.uint8)
    assert select_classes(labels, (15, 0)).tolist() == [[1, 255, 0, 255, 255]]


def test_image_and_labels_are_of_one_size(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({0: 3})})
    (example,) = folder(images, masks)
    image, labels = example.image_and_labels()
    assert image.shape == (*labels.shape, 3)
    write_labels(masks / "a.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(CaffeError, match="a: the photograph has 16 x 12 pixels, its label map 6 x 5"):
        example.image_and_labels()
    (masks / "a.png").unlink()
    assert example.missing() == [masks / "a.png"]
    with pytest.raises(CaffeError, match=r"names 'a', but .*a.png' is missing"):
        folder(images, masks).require_files()


@pytest.mark.parametrize("labels", [[-1], [256], [1.5], 2**63])
def test_select_classes_takes_no_other_numbers(labels: Any) -> None:
    with pytest.raises(ValueError, match="labels must be whole numbers of 0 to 255"):
        select_classes(labels, [0, 2])
    assert select_classes(np.array([0, 2, 7], np.int64), [0, 2]).tolist() == [0, 1, 255]


def test_select_takes_only_what_labels_can_be(tmp_path: Path) -> None:
    data = voc(make_voc(tmp_path, {"train": {"a": labels_of({0: 8})}}), ["train"])
    with pytest.raises(ValueError, match="class_ids must be an integer of 0 to 255"):
        data.select([0, -1])
    with pytest.raises(CaffeError, match="classes are asked for, but labels are numbers of 0 to 255"):
        data.select(range(1 << 40))


def test_the_message_about_an_unknown_label_says_how_to_make_it_void(tmp_path: Path) -> None:
    paths = make_folder(tmp_path, {"a": labels_of({0: 11})})
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    own = folder(*paths, names=tmp_path / "names.txt")
    known = r"holds 11 .* \(0 to 2, and 255 for void\); if it means void: --void 11$"
    for data, words in (
        (own, known),
        (own.select([0, 2]), known),
        (folder(*paths, names=tmp_path / "names.txt", void=99), r"\(0 to 2, and 99 and 255 for void\)"),
    ):
        with pytest.raises(CaffeError, match=words):
            only_labels(data)
    (tmp_path / "voc").mkdir()
    theirs = voc(make_voc(tmp_path / "voc", {"train": {"a": labels_of({0: 77})}}), ["train"])
    with pytest.raises(CaffeError, match=r"0 to 20, and 255 for void\)$"):
        only_labels(theirs)


def test_a_remark_about_labels_beyond_the_classes_names_the_stored_one(tmp_path: Path) -> None:
    (example,) = folder(*make_folder(tmp_path, {"a": labels_of({0: 11})}))
    assert example.label_remark(example.labels(), 11) == "; if it means void: --void 11"
    assert example.label_remark(example.labels(), 12) == ""
    (moved,) = folder(tmp_path / "images", tmp_path / "masks").without_zero()
    assert moved.label_remark(moved.labels(), 10) == "; if it means void: --void 11"
