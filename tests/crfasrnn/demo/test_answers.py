"""What is shown and handed out says what was computed."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from support.crfasrnn.models import CAT

from crfasrnn.classes import VOID
from crfasrnn.demo.answers import DOWNLOADS, SHOWN_SIDE, Answer, answer, download, mixed, strip, view
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import MARKS, Deadline, Field
from crfasrnn.demo.own import CONTROLS, Canvas
from crfasrnn.pictures.label_maps import class_palette, read_labels
from crfasrnn.pictures.photographs import read_image
from crfasrnn.segmentation.overlay import overlay
from crfasrnn.segmentation.segmenter import Segmentation


@pytest.fixture
def field() -> Field:
    """Two classes, of which the second is a block."""
    labels = np.zeros(CAT.shape[:2], np.uint8)
    labels[30:90, 40:120] = 1
    return Canvas.of(CAT).of_probabilities(np.stack([1 - 0.9 * labels, 0.9 * labels]).astype(np.float32))


@pytest.fixture
def found(field: Field) -> Answer:
    """What the CRF makes of it."""
    return answer(field, CONTROLS, Deadline(60))


def content(url: str) -> bytes:
    """Of a data URL."""
    return base64.b64decode(url.partition(";base64,")[2])


def picture(url: str, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """The image in a data URL."""
    decoded = cv2.imdecode(np.frombuffer(content(url), np.uint8), flags)
    assert decoded is not None
    return decoded


def test_the_view_holds_labels_shares_and_facts(found: Answer) -> None:
    shown = view(found)
    np.testing.assert_array_equal(picture(shown["before"], cv2.IMREAD_UNCHANGED), found.before)
    np.testing.assert_array_equal(picture(shown["after"], cv2.IMREAD_UNCHANGED), found.after)
    assert np.abs(picture(shown["photograph"]).astype(int) - CAT).mean() < 5
    classes = {known["name"]: known for known in shown["classes"]}
    assert list(classes) == ["background", "label 1"]  # the larger first
    assert classes["label 1"]["before"] == 25.0
    assert classes["label 1"]["after"] == pytest.approx(100 * np.mean(found.after == 1), abs=0.01)
    assert classes["background"]["background"]
    assert classes["label 1"]["colour"] == class_palette(found.field.classes)[1].tolist()
    facts = shown["facts"]
    assert (facts["iterations"], facts["grid"], facts["classes"]) == (10, [160, 120], 2)
    assert facts["changed"] == pytest.approx(100 * np.mean(found.before != found.after), abs=0.1)
    assert facts["crf"] >= 0
    assert facts["network"] is None  # there was none


def test_large_photographs_are_shown_smaller(found: Answer) -> None:
    large = cv2.resize(CAT, (2000, 1500))
    shown = view(Answer(replace(found.field, photograph=large), CONTROLS, found.scores, 0.1))
    for name in ("photograph", "before", "after"):
        assert picture(shown[name]).shape == (750, SHOWN_SIDE, 3)


def test_of_scribbles_no_share_of_relabelled_pixels_is_told() -> None:
    labels = np.full(CAT.shape[:2], VOID, np.uint8)
    labels[:9], labels[-9:] = 0, 1
    found = answer(Canvas.of(CAT).of_labels(labels, 0.7), CONTROLS, Deadline(60))
    assert view(found)["facts"]["changed"] is None
    assert strip(found, Deadline(60))[0]["changed"] is None


def test_the_strip_shows_q_on_its_way_to_the_answer(found: Answer) -> None:
    shown = strip(found, Deadline(60))
    assert [entry["iterations"] for entry in shown] == list(MARKS)
    assert shown[-1]["changed"] == view(found)["facts"]["changed"]
    assert all(picture(entry["picture"]).shape == CAT.shape for entry in shown)


@pytest.mark.parametrize("count", [1, 5, 7, 10])
def test_the_strip_is_that_of_the_field_whatever_the_answer_has_computed_already(field: Field, count: int) -> None:
    found = answer(field, replace(CONTROLS, iterations=count), Deadline(60))
    marks = dict(found.marked(Deadline(60)))
    assert sorted(marks) == list(MARKS)
    for mark, q in field.marked(found.controls, Deadline(60)):
        torch.testing.assert_close(marks[mark], q)
    assert [entry["iterations"] for entry in strip(found, Deadline(60))] == list(MARKS)


def test_q_is_shown_by_mixed_colours(field: Field) -> None:
    even = np.full((2, 120, 160), 0.5, np.float32)
    sure = np.stack([np.zeros((120, 160)), np.ones((120, 160))]).astype(np.float32)
    red = class_palette(field.classes)[1, ::-1].astype(float)
    np.testing.assert_allclose(mixed(field, sure), 0.25 * CAT + 0.75 * red, atol=1)
    np.testing.assert_allclose(mixed(field, even), 0.625 * CAT + 0.375 * red, atol=1)
    np.testing.assert_array_equal(mixed(field, 1 - sure), CAT)


def test_downloads_are_the_files_that_the_commands_write(found: Answer, tmp_path: object) -> None:
    files = {what: download(found, what, "cat") for what in DOWNLOADS}
    assert [file["name"] for file in files.values()] == ["cat_labels.png", "cat_overlay.png", "cat_probabilities.npy"]
    for what, file in files.items():
        with open(f"{tmp_path}/{what}.png", "wb") as written:
            written.write(content(file["url"]))
    np.testing.assert_array_equal(read_labels(f"{tmp_path}/Labels.png"), found.after)
    expected = overlay(CAT, Segmentation(found.after, None, found.field.classes))
    np.testing.assert_array_equal(read_image(f"{tmp_path}/Overlay.png"), expected)
    planes = np.load(io.BytesIO(content(files["Probabilities"]["url"])))
    assert planes.dtype == np.float16
    np.testing.assert_allclose(planes, found.scores[0].softmax(0), atol=1e-3)


def test_controls_are_obeyed(field: Field) -> None:
    few = answer(field, Controls(1, bilateral_weight=0, spatial_weight=0), Deadline(60))
    np.testing.assert_array_equal(few.before, few.after)
    torch.testing.assert_close(few.scores, field.unary)
