"""caffe.io: conversions between arrays, images and messages; oversample and Transformer in pycaffe's order of operations."""

from __future__ import annotations

import base64
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.reference_data import FILES

import caffe
from caffe import io
from caffe.data import datum
from caffe.errors import CaffeError
from caffe.io import Transformer, oversample
from caffe.proto import caffe_pb2


def test_blobs_there_and_back() -> None:
    array = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    blob = io.array_to_blobproto(array, diff=-array)
    assert list(blob.shape.dim) == [2, 3, 4]
    assert np.array_equal(io.blobproto_to_array(blob), array)
    assert np.array_equal(io.blobproto_to_array(blob, return_diff=True), -array)
    mean = caffe_pb2.BlobProto.FromString((FILES / "mean.binaryproto").read_bytes())
    assert io.blobproto_to_array(mean).shape == (1, 3, 4, 5)
    assert np.array_equal(io.blobproto_to_array(mean)[0], np.load(FILES / "mean.npy").reshape(3, 4, 5))
    double = caffe_pb2.BlobProto(double_data=[0.1], shape={"dim": [1]})
    assert io.blobproto_to_array(double).tolist() == [0.1]


def test_lists_of_blobs_there_and_back() -> None:
    arrays = [np.arange(6.0).reshape(1, 2, 3, 1), np.zeros((2, 1, 1, 1))]
    content = io.arraylist_to_blobprotovector_str(arrays)
    for mine, array in zip(io.blobprotovector_str_to_arraylist(content), arrays, strict=True):
        np.testing.assert_array_equal(mine, array)
    for damaged in (content[:-3], b"\xff\xff"):
        with pytest.raises(CaffeError, match="not a BlobProtoVector"):
            io.blobprotovector_str_to_arraylist(damaged)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_rgb_in_0_to_1(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, channels), dtype=np.uint8)
    pixels[..., 3:] = 255
    cv2.imwrite(str(tmp_path / "i.png"), pixels)  # BGR
    image = io.load_image(tmp_path / "i.png")
    assert image.dtype == np.float32
    expected = np.tile(pixels, (1, 1, 3)) if channels == 1 else pixels[:, :, 2::-1]
    assert np.allclose(image, expected / 255, atol=1e-7)
    grey = io.load_image(tmp_path / "i.png", color=False)
    assert grey.shape == (6, 5, 1)
    assert grey.dtype == np.float32
    assert np.allclose(grey[..., 0], image @ [0.2125, 0.7154, 0.0721], atol=1e-5)


# A PNG with damaged chunks of an animation, for which Pillow has no frame and imageio no words (compressed, Base64).
NO_FRAME = (
    "eJwBJQHa/olQTkcNChoKAAAADUlIRFIAAAAIAAAACQgDAAAAOI2dHAAAAOxJREFUeJwB4QAe/wBfgsLZz+sPoyHX2YL4vRBFuOjNTqk9fQoBHf"
    "BC9sblKE4UFtrxJ5wGWNTqcFhdGQRwAX+y7QG/jswqyk7ns8XHyFt2vyLiaCWKpAHtv1aiSJLR6GTXEfsWx5SD6bXu+9i6CJgB8PXmdMryGhxH"
    "Fwxu3ikMlWk6x0o05AezAKYnudhJxPcsDn/bFjpL+dwueagF2TOdigA4EpUUIOu5TPHWJnvPOjVsDKM6Zz31PwcCMLjJ7UAcGNO3FfiH2tB5P6"
    "8/VB/9QW+eADFm3kHw4ImdZRqZwzOxOGIa9f51fSZJ/wmmbvOY+NWZAAAAAElFTkSuQmCC9YaAiw=="
)


def test_a_picture_without_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(zlib.decompress(base64.b64decode(NO_FRAME)))
    with pytest.raises(OSError, match=r"x\.png: is not an image"):
        io.load_image(tmp_path / "x.png")


def test_images_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for name, words in (("none.png", "no such file"), ("text.png", "is not an image")):
        with pytest.raises(CaffeError, match=words):
            io.load_image(tmp_path / name)


def test_resizing_keeps_the_range_of_values() -> None:
    ramp = np.linspace(-100, 155, 40, dtype=np.float32)[None, :, None] * np.ones((30, 1, 3), np.float32)
    small = io.resize_image(ramp, (15, 20))
    assert small.shape == (15, 20, 3)
    assert small.dtype == np.float32
    assert np.allclose(small[:, :, 0], (ramp[0, ::2, 0] + ramp[0, 1::2, 0]) / 2, atol=1e-4)
    assert np.array_equal(io.resize_image(np.full((3, 4, 1), 7.0), (5, 6)), np.full((5, 6, 1), 7, np.float32))
    five = io.resize_image(np.dstack([ramp] * 2)[..., :5], (60, 80))
    assert five.shape == (60, 80, 5)
    assert five.dtype == np.float32
    assert np.allclose(five[0, [0, -1], 0], [-100, 155], atol=1e-3)


def test_datums_are_those_of_caffe_data() -> None:
    assert (io.array_to_datum, io.datum_to_array) == (datum.array_to_datum, datum.datum_to_array)


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, channels)).astype(np.float32)


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
    endless = np.broadcast_to(np.float32(0), (1 << 40, 5, 8))
    with pytest.raises(ValueError, match=r"not \[\(5, 8\), \(5, 8\), \(5, 8\), \(5, 8\)\] \.\.\.$"):
        oversample(endless, (2, 3))


def test_an_array_of_images_gives_what_a_list_of_them_gives() -> None:
    pictures = np.random.default_rng(1).random((3, 5, 8, 2), np.float32)
    np.testing.assert_array_equal(oversample(pictures, (2, 3)), oversample(list(pictures), (2, 3)))


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


def test_images_that_do_not_fit_are_refused() -> None:
    transformer = full_transformer()
    for wrong, words in (
        (image(4, 5)[:, :, 0], r"takes no image of shape \(4, 5\); a grey one"),
        (image(4, 5, 1), "an image of 1 channel"),
        (image(8, 9, 4), "an image of 4 channel"),
        (np.zeros((0, 5, 3)), "not of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            transformer.preprocess("data", wrong)
    with pytest.raises(ValueError, match="takes no image"):
        Transformer({"rows": (2, 3)}).preprocess("rows", image(4, 5))
    grey = Transformer({"data": (1, 1, 4, 5)})
    np.testing.assert_array_equal(grey.preprocess("data", image(4, 5)[:, :, 0]), image(4, 5)[:, :, 0])
    grey.set_transpose("data", (2, 0, 1))
    assert grey.preprocess("data", image(4, 5)[:, :, :1]).shape == (1, 4, 5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_images_are_read_from_open_files(kind: str, tmp_path: Path) -> None:
    """Web pages hand over uploads; a reader's position is where they begin."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    path = tmp_path / f"i.{kind.lower()}"
    Image.fromarray(pixels).save(path, kind)
    memory = BytesIO(b"head" + path.read_bytes())
    memory.seek(4)
    np.testing.assert_array_equal(io.load_image(memory), io.load_image(path))
    with open(path, "rb") as file:
        np.testing.assert_array_equal(io.load_image(file, color=False), io.load_image(path, color=False))
    with pytest.raises(OSError, match="the image: is not an image"):
        io.load_image(BytesIO(b"no image"))
    with open(__file__, "rb") as file, pytest.raises(OSError, match=r"test_io\.py: is not an image") as caught:
        io.load_image(file)
    assert isinstance(caught.value, CaffeError)


@pytest.mark.parametrize("kind", range(1, 14))
def test_decoders_may_fail_in_any_way(kind: int) -> None:
    """A TIFF that says where its pixels are by a number of another kind, at which the decoder raises TypeErrors."""
    written = BytesIO()
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(written, "TIFF")
    content = bytearray(written.getvalue())
    offsets = content.index((273).to_bytes(2, "little") + (4).to_bytes(2, "little"))
    content[offsets + 2 : offsets + 4] = kind.to_bytes(2, "little")
    try:
        assert io.load_image(BytesIO(content)).shape == (4, 5, 3)
    except CaffeError as error:
        assert "the image: is not an image that can be read" in str(error)  # noqa: PT017


_WITH_LITTLE_MEMORY = """
import resource, sys
import skimage.io, caffe
caffe.io.load_image(sys.argv[1], color=False)  # what is loaded on first use
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
try:
    caffe.io.load_image(sys.argv[2])
except caffe.errors.CaffeError as error:
    print(error)
"""


def test_an_image_that_does_not_fit_the_memory_is_one_error(tmp_path: Path) -> None:
    for name, side in (("small", 8), ("large", 6000)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f"{name}.png", compress_level=1)
    command = [sys.executable, "-c", _WITH_LITTLE_MEMORY, str(tmp_path / "small.png"), str(tmp_path / "large.png")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{tmp_path / 'large.png'}: is too large for the memory that there is: ")


def test_lists_pass_for_arrays_and_other_kinds_are_named() -> None:
    assert list(caffe.io.array_to_blobproto([[1, 2]], diff=[[3, 4]]).diff) == [3, 4]
    assert caffe.io.array_to_datum([[[1.5]]], np.int64(3)).label == 3
    for call, message in (
        (lambda: caffe.io.load_image(3), "filename must be a path or an open binary file, not int"),
        (lambda: caffe.io.array_to_blobproto("abc"), "arr must be an array of numbers, not str"),
        (lambda: caffe.io.array_to_datum(np.zeros((1, 1, 1)), "3"), "label must be an integer"),
        (lambda: caffe.io.blobproto_to_array([1, 2]), "blob must be a Message, not list"),
        (lambda: caffe.io.datum_to_array(b"abc"), "datum must be a Message, not bytes"),
        (lambda: caffe.io.Transformer([1, 3, 8, 8]), "inputs must be a Mapping, not list"),
        (
            lambda: caffe.io.resize_image(np.zeros((2, 2, 3)), (2, 2), "linear"),
            "interp_order must be an integer of 0 to 5",
        ),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_what_no_message_holds_is_refused_at_once() -> None:
    huge = np.broadcast_to(np.uint8(1), (1 << 20, 1 << 20, 3))
    for call in (caffe.io.array_to_blobproto, caffe.io.arraylist_to_blobprotovector_str):
        with pytest.raises(ValueError, match="a message holds at most"):
            call(huge)


@pytest.mark.parametrize("kind", [np.float16, bool, np.uint8, np.float64])
def test_images_of_every_kind_of_number_are_resized(kind: type) -> None:
    plane = np.ones((2, 2, 2), kind)  # two channels: through scipy
    assert caffe.io.resize_image(plane, (3, 3)).tolist() == np.ones((3, 3, 2)).tolist()
