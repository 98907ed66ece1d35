"""convert_imageset: pixels, sizes, encodings and order of what it stores, beside OpenCV."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.caffe.image_sets import convert

import caffe
from caffe.tools import convert_imageset


def test_imagesets_hold_the_pixels(photos: Path) -> None:
    entries = convert(photos)
    assert [key for key, _ in entries] == ["00000000_a b.png", "00000001_sub/c.png", "00000002_d.jpg", "00000003_e.png"]
    assert [datum.label for _, datum in entries] == [3, 0, 7, -1]
    for key, datum in entries:
        pixels = cv2.imread(str(photos / key[9:]))
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels.transpose(2, 0, 1))


def test_imagesets_resized_grey_and_shuffled(photos: Path) -> None:
    entries = convert(
        photos, "-gray", "--resize_width=4", "-resize_height", "3", "-check_size", "-shuffle", "-seed", "1"
    )
    assert sorted(key[9:] for key, _ in entries) == ["a b.png", "d.jpg", "e.png", "sub/c.png"]
    assert [key[9:] for key, _ in entries] != ["a b.png", "sub/c.png", "d.jpg", "e.png"]
    for key, datum in entries:
        pixels = cv2.resize(cv2.imread(str(photos / key[9:]), cv2.IMREAD_GRAYSCALE), (4, 3))
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels[np.newaxis])


def test_encoded_imagesets_keep_the_files_bytes(photos: Path) -> None:
    entries = convert(photos, "-encoded")
    for key, datum in entries[:3]:
        assert datum.encoded
        assert datum.data == (photos / key[9:]).read_bytes()
    # The grey file becomes a colour image like the others.
    assert caffe.io.datum_to_array(entries[3][1]).shape == (3, 7, 5)
    as_png = convert(photos, "-encode_type", "png", name="png")
    pixels = cv2.imread(str(photos / "d.jpg")).transpose(2, 0, 1)
    np.testing.assert_array_equal(caffe.io.datum_to_array(as_png[2][1]), pixels)


def test_unreadable_images_are_left_out(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (photos / "d.jpg").write_text("no picture")
    (photos / "e.png").unlink()
    assert [datum.label for _, datum in convert(photos)] == [3, 0]
    log = capfd.readouterr().err
    assert "Could not open or find file" in log
    assert "d.jpg" in log
    assert "e.png" in log


def test_the_installed_commands_run(tmp_path: Path) -> None:
    command = shutil.which("convert_imageset", path=str(Path(sys.executable).parent))
    runs = [[sys.executable, "-m", "caffe.tools.convert_imageset"]] + ([[command]] if command else [])
    for run in runs:
        done = subprocess.run([*run, "-help"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0
        assert "usage: convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME" in done.stderr
        done = subprocess.run(
            [*run, "a", "b", "c"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert "convert_imageset.cpp" not in done.stdout
        assert "cannot read the image list 'b'" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images/", "nowhere.txt", "out"], "nowhere.txt"),
        (["images/", "bad.txt", "out"], "bad.txt, line 1"),
        (["-check_size", "images/", "list.txt", "out"], "Incorrect data field size"),
        (["-encode_type=exe", "images/", "list.txt", "out"], "none of the 4 images"),
        (["images/", "list.txt", "images"], "exists already"),
        (["images/", "list.txt", "nowhere/out"], "cannot be written"),
        (["-backend=bdb", "images/", "list.txt", "out"], "it is lmdb or leveldb"),
        (["-shufle", "images/", "list.txt", "out"], "unknown command line flag 'shufle'"),
        (["-gray=maybe", "images/", "list.txt", "out"], "illegal value 'maybe'"),
        (["-resize_width", "x", "images/", "list.txt", "out"], "illegal value 'x'"),
        (["images/", "list.txt"], "usage: convert_imageset"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(convert_imageset.main, words)
