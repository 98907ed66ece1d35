"""What labels images, and what the labels stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.datasets import labels_of, make_folder, two_pictures
from support.crfasrnn.models import Threshold

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES, Classes, unnamed_classes
from crfasrnn.datasets import folder
from crfasrnn.evaluation.labellers import for_model, model_labels, numbers_note, saved_classes, saved_labels
from crfasrnn.pictures.label_maps import write_labels


def test_a_model_labels_the_photograph_and_finds_its_classes_among_vocs(tmp_path: Path) -> None:
    dataset = two_pictures(tmp_path)
    first = next(iter(for_model(dataset, Threshold.classes)))
    bright = first.image()[..., 0] > 127
    np.testing.assert_array_equal(model_labels(Threshold())(first), bright)  # type: ignore[arg-type]
    # The dogs (12) are its class 1; the cat (8) is void as void is.
    assert [first.labels()[place] for place in ((0, 0), (1, 1), (2, 2), (3, 0), (0, 4))] == [255, 255, 1, 0, 1]
    with pytest.raises(CaffeError, match=r"2 classes \(background, dog\), the data set 3"):
        for_model(dataset.select([0, 8, 12]), Threshold.classes)
    with pytest.raises(
        CaffeError, match=r"the model's in another order \(dog, background; the model's: background, dog\)"
    ):
        for_model(dataset.select([12, 0]), Threshold.classes)


def test_saved_labels_are_found_under_both_names(tmp_path: Path) -> None:
    dataset = folder(*make_folder(tmp_path, {name: labels_of({0: 1}) for name in "abc"}))
    (tmp_path / "found").mkdir()
    write_labels(tmp_path / "found" / "a.png", labels_of({1: 7}))
    write_labels(tmp_path / "found" / "b_labels.png", labels_of({2: 9}))
    label = saved_labels(tmp_path / "found", unnamed_classes(10))
    first, second, third = dataset
    np.testing.assert_array_equal(label(first), labels_of({1: 7}))
    np.testing.assert_array_equal(label(second), labels_of({2: 9}))
    with pytest.raises(CaffeError, match=r"c: no prediction in .*found' \(c.png\)"):
        label(third)
    with pytest.raises(CaffeError, match="no folder of predictions"):
        saved_labels(tmp_path / "none", unnamed_classes(10))


def test_saved_labels_have_the_data_sets_classes(tmp_path: Path) -> None:
    voc = two_pictures(tmp_path)
    assert saved_classes(voc, None) == Classes(VOC_CLASSES, tuple(range(21)))
    assert saved_classes(voc.select([0, 12]), [0, 12]) == Classes(("background", "dog"), (0, 12))
    nameless = folder(*make_folder(tmp_path / "own", {"a": labels_of({})}))
    assert saved_classes(nameless.select([0, 5]), [0, 5]) == Classes(("class 0", "class 1"), (0, 1))
    assert saved_classes(nameless.select(range(21)), range(21)).names[8] == "class 8"
    with pytest.raises(CaffeError, match="does not tell its number of classes"):
        saved_classes(nameless, None)


def test_numbers_that_nobody_has_named_are_told(tmp_path: Path) -> None:
    nameless = folder(*make_folder(tmp_path / "own", {"a": labels_of({})}))
    told = numbers_note(nameless, Classes(("background", "dog"), (0, 12)))
    assert told is not None
    assert "the model's classes, 0 (background) to 1 (dog)" in told
    assert numbers_note(nameless, unnamed_classes(2)) is None
    assert numbers_note(two_pictures(tmp_path), Classes(("background", "dog"), (0, 12))) is None
