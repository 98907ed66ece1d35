"""The scores against counting by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES, Classes
from crfasrnn.datasets import Dataset, Example
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.evaluate import evaluate
from crfasrnn.evaluation.labellers import for_model, model_labels
from crfasrnn.evaluation.scores import Scores, report, write_json
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.segmentation.segmenter import Segmentation


def sets(truth: np.ndarray, labels: np.ndarray, label: int) -> tuple[set[int], set[int]]:
    """The pixels truly of a class and those labelled so, void left out."""
    counted = {index for index, value in enumerate(truth.ravel()) if value != 255}
    true = {index for index in counted if truth.ravel()[index] == label}
    given = {index for index in counted if labels.ravel()[index] == label}
    return true, given


@pytest.fixture(params=range(4))
def pictures(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, int]:
    """Random truth with void, random labels; class 4 of 6 occurs in neither."""
    rng = np.random.default_rng(request.param)
    choices = np.array([0, 1, 2, 3, 5], np.uint8)
    truth = rng.choice(np.append(choices, 255).astype(np.uint8), (17, 23))
    labels = np.where(rng.random((17, 23)) < 0.6, truth, rng.choice(choices, (17, 23))).astype(np.uint8)
    return truth, np.where(labels == 255, 1, labels), 6


def test_every_score_is_what_sets_of_pixels_give(pictures: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, labels, count = pictures
    confusion = metrics.confusion_matrix(truth, labels, count)
    iu, accuracy, frequency = [], [], []
    for label in range(count):
        true, given = sets(truth, labels, label)
        iu.append(len(true & given) / len(true | given) if true | given else np.nan)
        accuracy.append(len(true & given) / len(true) if true else np.nan)
        frequency.append(len(true))
    np.testing.assert_allclose(metrics.per_class_iu(confusion), iu)
    np.testing.assert_allclose(metrics.per_class_accuracy(confusion), accuracy)
    assert metrics.mean_iu(confusion) == pytest.approx(np.nanmean(iu))
    assert metrics.mean_accuracy(confusion) == pytest.approx(np.nanmean(accuracy))
    counted = truth != 255
    assert metrics.pixel_accuracy(confusion) == pytest.approx((truth == labels)[counted].mean())
    weighted = sum(f * i for f, i in zip(frequency, iu) if f) / sum(frequency)
    assert metrics.frequency_weighted_iu(confusion) == pytest.approx(weighted)


def test_rows_are_true_and_columns_given() -> None:
    truth, labels = np.array([0, 0, 0, 1, 255]), np.array([1, 1, 0, 1, 0])
    assert metrics.confusion_matrix(truth, labels, 2).tolist() == [[1, 2], [0, 1]]


def test_a_closed_form() -> None:
    # Every pixel labelled 0, the true classes in shares 1/2, 1/4, 1/4.
    confusion = np.array([[2, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert metrics.per_class_iu(confusion).tolist() == [0.5, 0, 0]
    assert metrics.mean_iu(confusion) == pytest.approx(1 / 6)
    assert metrics.mean_accuracy(confusion) == pytest.approx(1 / 3)
    assert metrics.frequency_weighted_iu(confusion) == metrics.pixel_accuracy(confusion) / 2 == 0.25


def test_nothing_counted_gives_nan_not_a_crash() -> None:
    empty = metrics.confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2)), 3)
    for score in (metrics.mean_iu, metrics.pixel_accuracy, metrics.mean_accuracy, metrics.frequency_weighted_iu):
        assert np.isnan(score(empty))


@pytest.mark.parametrize(("truth", "labels", "message"), [([7], [0], "true label 7"), ([0], [3], "given label 3")])
def test_labels_out_of_range_are_named(truth: list[int], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(truth), np.array(labels), 3)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="truth has shape"):
        metrics.confusion_matrix(np.zeros((2, 3)), np.zeros((3, 2)), 2)


class Threshold:
    """A segmenter that calls bright pixels class 1."""

    classes = Classes(("background", "dog"), (0, 12))

    def segment(self, image: np.ndarray) -> Segmentation:
        return Segmentation((image[..., 0] > 127).astype(np.uint8), None, self.classes)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Two images of 4 x 6 pixels, bright on the right; dogs (12) there, a cat (8) and void in places."""
    made = []
    for index in range(2):
        image = np.zeros((4, 6, 3), np.uint8)
        image[:, 3:] = 255
        truth = np.where(image[..., 0] > 0, 12, 0).astype(np.uint8)
        truth[0, 0], truth[1, 1], truth[2, 2] = 8, 255, 12
        example = Example(f"picture{index}", tmp_path / f"{index}.png", tmp_path / f"{index}_labels.png")
        write_image(example.image_path, image)
        write_labels(example.label_path, truth)
        made.append(example)
    return Dataset("two pictures", tuple(made), VOC_CLASSES).strict()


def test_evaluate_counts_all_images_and_leaves_other_classes_out(dataset: Dataset, tmp_path) -> None:
    classes = Threshold.classes
    scores = evaluate(model_labels(Threshold()), for_model(dataset, classes), classes)  # type: ignore[arg-type]
    assert scores.confusion.tolist() == [[18, 0], [2, 24]]
    assert scores.images == 2
    write_json(tmp_path / "scores.json", scores)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["per_class_iu"] == pytest.approx([18 / 20, 24 / 26])
    assert written["mean_iu"] == pytest.approx((18 / 20 + 24 / 26) / 2)
    assert written["confusion"] == [[18, 0], [2, 24]]


def test_the_report_names_every_class_and_mean() -> None:
    text = report(Scores(Classes(("background", "dog"), (0, 12)), np.array([[6, 2], [0, 0]]), 3))
    rows = {line[:21].strip(): line[21:].split() for line in text.splitlines()}
    assert rows["background"] == ["75.0", "75.0"]
    assert rows["dog"] == ["0.0", "nan"]
    assert rows["mean IU"] == ["37.5"]
    assert rows["pixel accuracy"] == ["75.0"]
    assert rows["images"] == ["3"]


def test_a_wrong_number_of_classes_is_refused(dataset: Dataset) -> None:
    with pytest.raises(CaffeError, match=r"2 classes \(background, dog\), the data set 3"):
        for_model(dataset.select([0, 8, 12]), Threshold.classes)
