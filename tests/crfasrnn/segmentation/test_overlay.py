"""The overlay shows photograph, colours, boundaries and the names of what was found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from crfasrnn.classes import Classes
from crfasrnn.pictures.label_maps import voc_palette
from crfasrnn.segmentation.overlay import OPACITY, overlay
from crfasrnn.segmentation.segmenter import Segmentation

CLASSES = Classes(("background", "cat", "cow", "dog", "horse", "person", "sheep"), (0, 8, 10, 12, 13, 15, 17))


def scene(height: int, width: int) -> tuple[np.ndarray, Segmentation]:
    """A photograph of that size whose right half is labelled cat."""
    photograph = cv2.resize(skimage.data.cat()[..., ::-1].copy(), (width, height), interpolation=cv2.INTER_AREA)
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    return photograph, Segmentation(labels, None, CLASSES)


def test_background_stays_and_classes_are_blended_in_their_colour() -> None:
    photograph, result = scene(400, 600)
    picture = overlay(photograph, result, boundaries=False)[:400, :600]
    np.testing.assert_array_equal(picture[:, :300], photograph[:, :300])
    colour = voc_palette()[8][::-1]
    expected = (1 - OPACITY) * photograph[:, 300:] + OPACITY * colour
    assert np.abs(picture[:, 300:] - expected).max() <= 0.51


def test_boundaries_are_white_lines_between_labels() -> None:
    photograph, result = scene(400, 600)
    difference = overlay(photograph, result) != overlay(photograph, result, boundaries=False)
    assert np.flatnonzero(difference.any((0, 2))).tolist() == [300]
    assert (overlay(photograph, result)[:400, 300] == 255).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 32), (500, 60), (60, 500), (300, 451), (1500, 2000)])
def test_every_size_has_room_for_the_whole_legend(height: int, width: int) -> None:
    photograph, result = scene(height, width)
    labels = result.labels.copy()
    labels.ravel()[: min(labels.size, 7)] = np.arange(min(labels.size, 7))
    picture = overlay(photograph, Segmentation(labels, None, CLASSES))
    factor = -(-320 // max(height, width))
    shown_height = height * max(1, factor)
    assert picture.shape[0] > shown_height
    assert picture.shape[1] >= width * max(1, factor)
    legend = picture[shown_height:]
    for label in np.unique(labels):
        colour = voc_palette()[CLASSES.voc_ids[label]][::-1]
        assert (legend == colour).all(2).sum() >= 100, CLASSES.names[label]
    # The text ends before the border: the last columns and rows are blank.
    assert (legend[:, -2:] == 255).all()
    assert (legend[-2:] == 255).all()


def test_absent_classes_are_not_in_the_legend() -> None:
    photograph, result = scene(400, 600)
    legend = overlay(photograph, result)[400:]
    assert not (legend == voc_palette()[15][::-1]).all(2).any()


def test_a_class_0_that_is_no_background_is_drawn() -> None:
    photograph, labelled = scene(400, 600)
    result = Segmentation(labelled.labels, None, Classes(("sky", "cat"), (0, 1)))
    picture = overlay(photograph, result, boundaries=False)[:400, :300]
    expected = (1 - OPACITY) * photograph[:, :300] + OPACITY * voc_palette()[2][::-1]
    assert np.abs(picture - expected).max() <= 0.51
