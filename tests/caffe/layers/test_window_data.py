"""WindowData on real photographs and on images made so that the right crop can be told by eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from support.reference_data import shared_path

import caffe
from caffe.proto import caffe_pb2, model_file

pytestmark = pytest.mark.usefixtures("compute")


def build(source: Path, options: str, transform: str = "crop_size: 16") -> caffe.Net:
    return caffe.Net(
        text_format.Parse(
            f"""layer {{ name: "w" type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }}
              window_data_param {{ source: "{source}" {options} }} }}""",
            caffe_pb2.NetParameter(),
        ),
        caffe.TRAIN,
    )


def window_file(folder: Path, images: list[tuple[str, tuple[int, int], list[str]]], channels: int = 3) -> Path:
    lines = []
    for index, (name, size, windows) in enumerate(images):
        lines += [f"# {index}", name, str(channels), *map(str, size), str(len(windows)), *windows]
    (folder / "windows.txt").write_text("\n".join(lines) + "\n")
    return folder / "windows.txt"


def photograph(number: int = 0) -> tuple[str, np.ndarray]:
    folder = shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages")
    path = sorted(folder.glob("*.jpg"))[number]
    return str(path), cv2.imread(str(path))


def test_batches_hold_background_then_foreground(tmp_path: Path) -> None:
    images = []
    for number in range(3):
        path, pixels = photograph(number)
        windows = [
            f"{number + 1} 0.9 10 20 100 120",
            f"{number + 1} 0.5 0 0 49 59",
            "3 0.2 30 30 80 90",
            "2 0.45 5 5 9 9",
        ]
        images.append((path, pixels.shape[:2], windows))
    net = build(window_file(tmp_path, images), "batch_size: 8 fg_fraction: 0.4 bg_threshold: 0.3")
    seen: set[float] = set()
    for _ in range(6):
        net.forward()
        assert net.blobs["data"].shape == (8, 3, 16, 16)
        # int(8 * 0.4) foreground windows behind the others; overlaps between the thresholds are nobody's.
        labels = net.blobs["label"].data
        assert (labels[:5] == 0).all()
        assert (labels[5:] > 0).all()
        seen.update(labels[5:].tolist())
        assert all("(30, 30, 80, 90)" in place for place in net.layers[0].places[:5])
    assert seen == {1, 2, 3}


@pytest.mark.parametrize("mirror", [False, True])
def test_warped_windows_are_resized_pixels(mirror: bool, tmp_path: Path) -> None:
    path, pixels = photograph()
    source = window_file(tmp_path, [(path, pixels.shape[:2], ["5 1 20 30 119 93"])])
    transform = f"crop_size: 16 scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 mirror: {str(mirror).lower()}"
    net = build(source, "batch_size: 12 fg_fraction: 1", transform)
    net.forward()
    plain = cv2.resize(pixels[30:94, 20:120], (16, 16)).astype(np.float32)
    expected = (plain.transpose(2, 0, 1) - np.array([1, 2, 3])[:, None, None]) * 0.5
    views = [
        np.array_equal(crop, expected) + 2 * np.array_equal(crop, expected[:, :, ::-1])
        for crop in net.blobs["data"].data
    ]
    assert set(views) == ({1, 2} if mirror else {1})


def test_context_shows_what_lies_around(tmp_path: Path) -> None:
    # An 8 x 8 window in a crop of 16 with 4 around it: twice the window's size, about its centre.
    pixels = np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    source = window_file(tmp_path, [(str(tmp_path / "a.png"), (60, 70), ["1 1 20 30 27 37"])])
    net = build(source, "batch_size: 1 fg_fraction: 1 context_pad: 4", "crop_size: 16")
    net.forward()
    # Centre (24, 34), 8 * 16 / 8 = 16 wide: 16..32, both included, is 17 pixels, resized to 16.
    expected = cv2.resize(pixels[26:43, 16:33], (16, 16)).transpose(2, 0, 1)
    np.testing.assert_array_equal(net.blobs["data"].data[0], expected)


def test_context_outside_of_the_image_is_zero_and_mirrored_with_it(tmp_path: Path) -> None:
    white = np.full((40, 40), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), white)
    source = window_file(tmp_path, [(str(tmp_path / "a.png"), (40, 40), ["1 1 0 12 7 19"])], channels=1)
    net = build(source, "batch_size: 16 fg_fraction: 1 context_pad: 4", "crop_size: 16 mirror: true mean_value: 150")
    net.forward()
    # Columns -4 .. 12 are wanted and 0 .. 12 exist: 4 / 17 * 16 rounds to 4 empty columns.
    plain = np.zeros((1, 16, 16), np.float32)
    plain[:, :, 4:] = 50
    kinds = [
        np.array_equal(crop, plain) + 2 * np.array_equal(crop, plain[:, :, ::-1]) for crop in net.blobs["data"].data
    ]
    assert set(kinds) == {1, 2}


def test_squares_keep_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[32:48, 24:56] = 255
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    source = window_file(tmp_path, [("a.png", (80, 80), ["1 1 24 32 55 47"])])
    options = f'batch_size: 1 fg_fraction: 1 root_folder: "{tmp_path}/" cache_images: true'
    for mode, white_rows in (("warp", 16), ("square", 8)):
        net = build(source, f'{options} crop_mode: "{mode}"')
        for _ in range(2):
            net.forward()
            assert (net.blobs["data"].data[0, 0, :, 8] > 127).sum() == white_rows


def test_mean_images_are_cut_at_their_centre(tmp_path: Path) -> None:
    path, pixels = photograph()
    mean = np.random.default_rng(0).random((1, 3, 20, 20)).astype(np.float32)
    model_file.write_blob_proto(tmp_path / "mean.binaryproto", mean)
    source = window_file(tmp_path, [(path, pixels.shape[:2], ["5 1 20 30 119 93"])])
    net = build(source, "batch_size: 1 fg_fraction: 1", f'crop_size: 16 mean_file: "{tmp_path}/mean.binaryproto"')
    net.forward()
    expected = cv2.resize(pixels[30:94, 20:120], (16, 16)).transpose(2, 0, 1) - mean[0, :, 2:18, 2:18]
    np.testing.assert_array_equal(net.blobs["data"].data[0], expected)


def test_the_seed_fixes_the_windows(tmp_path: Path) -> None:
    path, pixels = photograph()
    windows = [f"{k + 1} 1 {k} {k} {k + 40} {k + 50}" for k in range(50)]
    source = window_file(tmp_path, [(path, pixels.shape[:2], windows)])
    runs = []
    for seed in (1, 1, 2):
        caffe.set_random_seed(seed)
        net = build(source, "batch_size: 20 fg_fraction: 1", "crop_size: 16 mirror: true")
        net.forward()
        runs.append((net.blobs["label"].data.tolist(), net.blobs["data"].data.copy()))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", "", "is empty"),
        ("hello\n", "", "line 1: expected '# <image index>'"),
        ("# 0\na.png\n3\n9\n9\n1\n", "", "ends in the middle"),
        ("# 0\na.png\nthree\n", "", "line 3"),
        ("# 0\na.png\n2\n9\n9\n0\n", "", "2 channels"),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 2 3\n", "", "line 7: a window is"),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 5 0 2 8\n", "", "ends before it begins"),
        ("# 0\na.png\n3\n9\n9\n1\n0 1 0 0 8 8\n", "", "class above 0"),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 0 0 8 99999999999\n", "", "32 bits"),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 0 0 8 8\n", "fg_fraction: 0.5", "holds no background window"),
        ("# 0\na.png\n3\n9\n9\n1\n1 0 0 0 8 8\n", "", "holds no foreground window"),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 0 0 8 8\n", 'crop_mode: "round"', 'must be "warp" or "square"'),
        ("# 0\na.png\n3\n9\n9\n1\n1 1 0 0 8 8\n", "context_pad: 8", "leaves nothing"),
    ],
)
def test_wrong_window_files_and_options_are_explained(text: str, options: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text(text)
    fraction = "" if "fg_fraction" in options else "fg_fraction: 1"
    with pytest.raises(caffe.CaffeError, match=words):
        build(tmp_path / "w.txt", f"batch_size: 2 {fraction} {options}")


def test_windows_that_cannot_be_cut_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((10, 10, 3), np.uint8))
    for window, options, words in (
        ("1 1 0 0 12 8", "", r"window \(0, 0, 12, 8\) of .*a\.png: it reaches 0\.\.12"),
        ("1 1 30 30 32 32", "context_pad: 2", "nothing of it lies in the image"),
    ):
        net = build(
            window_file(tmp_path, [(f"{tmp_path}/a.png", (10, 10), [window])]),
            f"batch_size: 1 fg_fraction: 1 {options}",
        )
        with pytest.raises(caffe.CaffeError, match=words):
            net.forward()
    net = build(window_file(tmp_path, [("nowhere.png", (10, 10), ["1 1 0 0 2 2"])]), "batch_size: 1 fg_fraction: 1")
    with pytest.raises(caffe.CaffeError, match=r"nowhere\.png"):
        net.forward()
