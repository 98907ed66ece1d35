"""caffe.io.oversample and Transformer: pycaffe's order of operations, checked step by step on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.io import Transformer, oversample


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, channels)).astype(np.float32)


def test_caffe_io_comes_with_caffe() -> None:
    assert caffe.io.Transformer is Transformer


def test_oversample_takes_corners_centre_and_their_mirror_images() -> None:
    pictures = np.stack([image(5, 8), 1 - image(5, 8)])
    crops = oversample(pictures, (2, 3))
    assert crops.shape == (20, 2, 3, 3)
    assert crops.dtype == np.float32
    for picture, ten in zip(pictures, (crops[:10], crops[10:])):
        places = [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]
        for k, (y, x) in enumerate(places):
            np.testing.assert_array_equal(ten[k], picture[y : y + 2, x : x + 3])
            np.testing.assert_array_equal(ten[5 + k], picture[y : y + 2, x : x + 3][:, ::-1])


def test_oversample_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="crop of 6 x 3"):
        oversample([image(5, 8)], (6, 3))
    with pytest.raises(ValueError, match="of one shape"):
        oversample([image(5, 8), image(5, 7)], (2, 3))
    with pytest.raises(ValueError, match="at least one"):
        oversample([], (2, 3))


def full_transformer() -> Transformer:
    transformer = Transformer({"data": (1, 3, 4, 5)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([103.0, 116.0, 122.0]))
    transformer.set_input_scale("data", 0.5)
    return transformer


def test_preprocess_does_its_steps_in_pycaffes_order() -> None:
    picture = image(4, 5)
    result = full_transformer().preprocess("data", picture)
    assert result.dtype == np.float32
    for channel, mean in enumerate((103, 116, 122)):
        expected = (picture[:, :, 2 - channel].astype(np.float64) * 255 - mean) * 0.5
        np.testing.assert_allclose(result[channel], expected, atol=1e-4)


def test_preprocess_leaves_its_input_alone_and_resizes() -> None:
    picture = image(8, 10)
    before = picture.copy()
    assert full_transformer().preprocess("data", picture).shape == (3, 4, 5)
    np.testing.assert_array_equal(picture, before)
    plain = Transformer({"data": (1, 3, 4, 5)})
    plain.set_raw_scale("data", 2)
    small = image(4, 5)
    np.testing.assert_array_equal(plain.preprocess("data", small), 2 * small)
    np.testing.assert_array_equal(small, image(4, 5))


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_deprocess_is_the_inverse(order: tuple[int, ...]) -> None:
    transformer = full_transformer()
    transformer.set_channel_swap("data", order)
    picture = image(4, 5)
    back = transformer.deprocess("data", transformer.preprocess("data", picture)[np.newaxis])
    np.testing.assert_allclose(back, picture, atol=1e-5)


def test_means_of_every_shape() -> None:
    transformer = Transformer({"data": (1, 3, 4, 5), "grey": (1, 1, 4, 5)})
    whole = np.random.default_rng(1).random((3, 4, 5))
    transformer.set_mean("data", whole)
    np.testing.assert_array_equal(transformer.mean["data"], whole)
    transformer.set_mean("grey", whole[0])
    assert transformer.mean["grey"].shape == (1, 4, 5)
    # A mean of another size is resized; a constant one stays what it is.
    transformer.set_mean("data", np.full((3, 8, 8), 7.0))
    np.testing.assert_array_equal(transformer.mean["data"], np.full((3, 4, 5), 7.0))
    for wrong, words in (
        (np.zeros(2), "channels"),
        (np.zeros((2, 4, 5)), "channels"),
        (np.zeros((1, 3, 4, 5)), "shape"),
    ):
        with pytest.raises(ValueError, match=words):
            transformer.set_mean("data", wrong)


def test_wrong_settings_are_refused() -> None:
    transformer = Transformer({"data": (1, 3, 4, 5)})
    for call in (
        lambda: transformer.set_raw_scale("image", 1),
        lambda: transformer.preprocess("image", image(4, 5)),
        lambda: transformer.deprocess("image", image(4, 5)),
    ):
        with pytest.raises(caffe.CaffeError, match="image is not one of the net inputs: data"):
            call()
    with pytest.raises(caffe.CaffeError, match="Transpose order"):
        transformer.set_transpose("data", (1, 0))
    with pytest.raises(caffe.CaffeError, match="Channel swap"):
        transformer.set_channel_swap("data", (1, 0))
