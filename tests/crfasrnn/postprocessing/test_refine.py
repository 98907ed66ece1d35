"""Refining one file: against the same CRF called by hand, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe.errors import CaffeError
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.refine import refine_file
from crfasrnn.postprocessing.search import Sample
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax


def test_probabilities_are_refined_with_the_settings_given(samples: list[Sample], tmp_path: Path) -> None:
    example, probabilities = samples[0].example, samples[0].probabilities
    for settings in (CrfSettings(), CrfSettings((2.0, 1.0), (20.0, 30.0, 4.0), 5)):
        refine_file(tmp_path / "images" / f"{example.name}.png", probabilities, tmp_path / "o.png", settings=settings)
        expected = settings.labels(example.image(), unary_from_softmax(read_probabilities(probabilities)))
        np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), expected)


def test_labels_are_right_with_the_certainty_given(samples: list[Sample], tmp_path: Path) -> None:
    """Without iterations they stay; unknown ones become the first of equals."""
    picture = tmp_path / "images" / "disc0.png"
    labels = samples[0].example.labels()
    settings = CrfSettings(iterations=0)
    refine_file(picture, tmp_path / "masks" / "disc0.png", tmp_path / "o.png", settings=settings)
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), np.where(labels == 255, 0, labels))
    refine_file(picture, tmp_path / "masks" / "disc0.png", tmp_path / "o.png", certainty=0.1, settings=settings)
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), np.where(labels == 255, 0, 1 - labels))


def test_the_photograph_is_turned_as_segment_turns_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "p.jpg", exif=exif)
    write_labels(tmp_path / "upright.png", np.ones((32, 24), np.uint8))
    refine_file(tmp_path / "p.jpg", tmp_path / "upright.png", tmp_path / "o.png")
    assert read_labels(tmp_path / "o.png").shape == (32, 24)
    with pytest.raises(CaffeError, match="as stored; --exif apply turns it"):
        refine_file(tmp_path / "p.jpg", tmp_path / "upright.png", tmp_path / "o.png", upright=False)


def test_what_does_not_fit_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    picture, mask, output = tmp_path / "images" / "disc0.png", tmp_path / "masks" / "disc0.png", tmp_path / "o.png"
    write_labels(tmp_path / "small.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(CaffeError, match=r"small.png' is 4 x 6, but the photograph .* is 24 x 32"):
        refine_file(picture, tmp_path / "small.png", output)
    write_labels(tmp_path / "three.png", np.full((24, 32), 3, np.uint8))
    with pytest.raises(CaffeError, match="has the label 3, but there are 2 classes"):
        refine_file(picture, tmp_path / "three.png", output, classes=2)
    with pytest.raises(CaffeError, match="gt_prob must be in"):
        refine_file(picture, mask, output, certainty=1.0)
    assert not output.exists()


@pytest.mark.parametrize(
    ("values", "words"), [((0, 255), "if it marks an object, save that as 1"), ((255, 255), "nothing to start from")]
)
def test_label_maps_whose_result_would_be_one_label_are_refused(
    samples: list[Sample], tmp_path: Path, values: tuple[int, int], words: str
) -> None:
    picture, output = tmp_path / "images" / "disc0.png", tmp_path / "o.png"
    mask = np.where(np.arange(32) < 10, *values)[None].repeat(24, 0).astype(np.uint8)
    write_labels(tmp_path / "mask.png", mask)
    with pytest.raises(CaffeError, match=words):
        refine_file(picture, tmp_path / "mask.png", output)
    assert not output.exists()


def test_a_label_map_of_background_alone_stays_so(samples: list[Sample], tmp_path: Path) -> None:
    """As one of many pictures may be that show none of the objects; with void only if the classes are counted."""
    picture, mask = tmp_path / "images" / "disc0.png", np.zeros((24, 32), np.uint8)
    for classes in (None, 3):
        write_labels(tmp_path / "mask.png", mask)
        refine_file(picture, tmp_path / "mask.png", tmp_path / "o.png", classes=classes)
        assert not read_labels(tmp_path / "o.png").any()
        mask[:3] = 255
