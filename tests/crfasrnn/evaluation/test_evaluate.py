"""A walk over a data set counts what counting by hand does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.datasets import labels_of, make_folder, two_pictures
from support.crfasrnn.models import Threshold

from caffe.errors import CaffeError
from crfasrnn.classes import unnamed_classes
from crfasrnn.datasets import folder
from crfasrnn.evaluation.boundaries import boundary_f, trimap_confusions
from crfasrnn.evaluation.evaluate import evaluate
from crfasrnn.evaluation.labellers import for_model, model_labels, saved_labels
from crfasrnn.many import Failure


def test_all_images_are_counted_and_other_classes_left_out(tmp_path: Path) -> None:
    classes = Threshold.classes
    seen: dict[str, np.ndarray] = {}
    dataset = for_model(two_pictures(tmp_path), classes)
    scores = evaluate(model_labels(Threshold()), dataset, classes, keep=seen.__setitem__)  # type: ignore[arg-type]
    assert scores.confusion.tolist() == [[18, 0], [2, 24]]
    assert scores.images == 2
    assert scores.per_image is not None
    assert scores.per_image.names == tuple(seen) == ("picture0", "picture1")
    assert scores.per_image.matrices.tolist() == [[[9, 0], [1, 12]]] * 2
    assert seen["picture1"].tolist() == [[0, 0, 0, 1, 1, 1]] * 4
    assert scores.trimap is None
    assert scores.boundary is None


def test_borders_are_counted_over_all_images(tmp_path: Path) -> None:
    classes = Threshold.classes
    dataset, label = for_model(two_pictures(tmp_path), classes), model_labels(Threshold())  # type: ignore[arg-type]
    scores = evaluate(label, dataset, classes, trimap=True, boundary=True)
    pairs = [(example.labels(), label(example)) for example in dataset]
    np.testing.assert_array_equal(scores.trimap, sum(trimap_confusions(*pair, 2) for pair in pairs))
    np.testing.assert_allclose(scores.boundary, np.mean([boundary_f(*pair, 2) for pair in pairs], axis=0))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((3, 3)), "picture0: truth has shape"),
        (np.full((4, 6), 30), "picture0: given label 30 is not one of the 21"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path: Path, labels: np.ndarray, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        evaluate(lambda example: labels, two_pictures(tmp_path), unnamed_classes(21))


def test_a_true_label_beyond_the_classes_may_be_void(tmp_path: Path) -> None:
    own = folder(*make_folder(tmp_path, {"a": labels_of({0: 11})}))
    with pytest.raises(CaffeError, match=r"a: true label 11 is not one of the 11 classes nor 255; .*: --void 11$"):
        evaluate(lambda example: labels_of({}), own, unnamed_classes(11))


def test_processes_count_the_same_and_failures_are_left_out(tmp_path: Path) -> None:
    masks = {name: labels_of({index: 1}) for index, name in enumerate("abcde")}
    dataset = folder(*make_folder(tmp_path, masks))
    (tmp_path / "masks" / "c.png").write_bytes(b"?")
    label = saved_labels(tmp_path / "images", unnamed_classes(2))
    with pytest.raises(CaffeError, match="no prediction in"):
        evaluate(label, dataset, unnamed_classes(2))
    found = []
    for processes in (1, 2):
        failures: list[Failure] = []
        seen: dict[str, np.ndarray] = {}
        label = saved_labels(tmp_path / "masks", unnamed_classes(2))
        scores = evaluate(
            label,
            dataset,
            unnamed_classes(2),
            trimap=True,
            boundary=True,
            keep=seen.__setitem__,
            processes=processes,
            failures=failures,
        )
        assert [("c.png" in failure.reason) for failure in failures] == [True]
        assert list(seen) == list("abde")
        assert scores.images == 4
        found.append((scores.confusion.tolist(), scores.trimap.tolist(), scores.boundary.tolist()))
    assert found[0] == found[1]
