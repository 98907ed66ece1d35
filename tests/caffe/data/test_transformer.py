"""transform_param beside plain numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from caffe import mode
from caffe.data.transformer import DataTransformer
from caffe.errors import CaffeError
from caffe.io import array_to_blobproto
from caffe.proto import caffe_pb2


def image(height: int = 5, width: int = 6) -> np.ndarray:
    """C x H x W uint8."""
    return np.random.default_rng(0).integers(0, 256, (3, height, width), np.uint8)


def transformer(options: str, phase: int = mode.TEST) -> DataTransformer:
    return DataTransformer(text_format.Parse(options, caffe_pb2.TransformationParameter()), phase)


def test_train_crops_and_mirrors_at_random_and_test_does_not() -> None:
    pixels = image()
    mode.set_random_seed(3)
    transform = transformer("crop_size: 4 mirror: true", mode.TRAIN)
    places = {
        crop.tobytes(): crop
        for y in range(2)
        for x in range(3)
        for crop in (pixels[:, y : y + 4, x : x + 4], pixels[:, y : y + 4, x : x + 4][:, :, ::-1])
    }
    seen = {transform(pixels).astype(np.uint8).tobytes() for _ in range(200)}
    assert seen == set(places)
    np.testing.assert_array_equal(transformer("crop_size: 4")(pixels), pixels[:, 0:4, 1:5])


def test_the_mean_is_subtracted_before_scaling(tmp_path: Path) -> None:
    pixels, mean = image(), np.random.default_rng(1).normal(size=(3, 5, 6)).astype(np.float32)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(array_to_blobproto(mean[None]).SerializeToString())
    values = np.array([10, 20, 30], np.float32)[:, None, None]
    for options, expected in (
        ("scale: 0.5", pixels * np.float32(0.5)),
        ("mean_value: 7 scale: 0.5", (pixels - np.float32(7)) / 2),
        ("mean_value: 10 mean_value: 20 mean_value: 30", pixels - values),
        (f'mean_file: "{path}" scale: 2 crop_size: 3', 2 * (pixels - mean)[:, 1:4, 1:4]),
    ):
        result = transformer(options)(pixels)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_the_shape_is_known_before() -> None:
    assert transformer("").output_shape((3, 5, 6)) == (3, 5, 6)
    assert transformer("crop_size: 4").output_shape((1, 5, 6)) == (1, 4, 4)


def test_random_choices_go_on_from_a_state() -> None:
    one, other = (transformer("crop_size: 2 mirror: true", mode.TRAIN) for _ in range(2))
    one(image())
    other.set_random_state(one.random_state())
    for _ in range(10):
        np.testing.assert_array_equal(one(image()), other(image()))
    assert transformer("crop_size: 2").random_state() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("crop_size: 7", "crop_size 7 is larger"),
        ("mean_value: 1 mean_value: 2", "Specify either 1 mean_value or as many as channels: 3"),
        ('mean_file: "nowhere.binaryproto"', "nowhere.binaryproto"),
        ('mean_file: "x" mean_value: 1', "Cannot specify mean_file and mean_value"),
        ("force_color: true force_gray: true", "cannot set both force_color and force_gray"),
    ],
)
def test_transformations_that_do_not_fit_say_why(options: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        transformer(options)(image())


def test_a_mean_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(array_to_blobproto(np.zeros((1, 3, 4, 6))).SerializeToString())
    with pytest.raises(CaffeError, match=r"mean_file '.*' is for images of shape \(3, 4, 6\), not \(3, 5, 6\)"):
        transformer(f'mean_file: "{path}"')(image())
