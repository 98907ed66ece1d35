"""What visitors give is read within limits, and refused in a sentence that tells nothing of the server."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.crfasrnn.models import CAT

from caffe.errors import CaffeError
from crfasrnn.classes import VOID
from crfasrnn.demo.uploads import MAX_PHOTOGRAPH, mask, photograph, probabilities, scribbles
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image


def refusal(reader: Any, path: Path, *arguments: Any) -> str:
    """What is said of a file."""
    with pytest.raises(CaffeError) as caught:
        reader(path, *arguments)
    assert str(path.parent) not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_photographs_are_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(CAT[..., ::-1]).save(tmp_path / "side.png", exif=exif)
    np.testing.assert_array_equal(photograph(tmp_path / "side.png"), np.rot90(CAT, -1))


def header(path: Path, width: int, height: int) -> None:
    """A PNG that promises so many pixels."""
    write_image(path, np.zeros((1, 1, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def test_what_is_no_photograph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    header(tmp_path / "wide.png", 6000, MAX_PHOTOGRAPH // 6000 + 1)
    header(tmp_path / "bomb.png", 60000, 60000)
    with (tmp_path / "long.jpg").open("wb") as file:
        file.truncate(1 << 30)
    assert "not an image" in refusal(photograph, tmp_path / "text.jpg")
    assert "empty" in refusal(photograph, tmp_path / "empty.jpg")
    assert "too large: it has 6000 x 4001 pixels, the page takes up to 24 millions" in refusal(
        photograph, tmp_path / "wide.png"
    )
    assert "too large" in refusal(photograph, tmp_path / "bomb.png")
    assert "more than" in refusal(photograph, tmp_path / "long.jpg")
    assert "No such file" in refusal(photograph, tmp_path / "forgotten.jpg")


def test_masks(tmp_path: Path) -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[2:4] = 3
    write_labels(tmp_path / "mask.png", labels)
    np.testing.assert_array_equal(mask(tmp_path / "mask.png", 6, 8), labels)
    write_image(tmp_path / "object.png", (labels > 0).astype(np.uint8) * 255)
    np.testing.assert_array_equal(mask(tmp_path / "object.png", 6, 8), labels > 0)
    labels[0] = VOID  # with others it means unknown
    write_labels(tmp_path / "void.png", labels)
    np.testing.assert_array_equal(mask(tmp_path / "void.png", 6, 8), labels)


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "mask.png", np.zeros((6, 8), np.uint8))
    write_image(tmp_path / "colours.png", CAT)
    assert "8 x 6 pixels, but the photograph 6 x 8" in refusal(mask, tmp_path / "mask.png", 8, 6)
    assert "is 0 everywhere" in refusal(mask, tmp_path / "mask.png", 6, 8)
    assert "it has colours" in refusal(mask, tmp_path / "colours.png", 120, 160)


def test_probabilities(tmp_path: Path) -> None:
    planes = np.full((2, 3, 4), 0.5, np.float32)
    np.save(tmp_path / "planes.npy", planes)
    np.savez(tmp_path / "planes.npz", planes)
    for name in ("planes.npy", "planes.npz"):
        np.testing.assert_array_equal(probabilities(tmp_path / name, 24), planes)
    assert "2 x 3 x 4 are 24 numbers, the page takes up to 23" in refusal(probabilities, tmp_path / "planes.npy", 23)
    np.save(tmp_path / "scores.npy", 9 * planes)
    assert "outside 0 to 1" in refusal(probabilities, tmp_path / "scores.npy", 24)
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    refusal(probabilities, tmp_path / "pickle.npy", 24)
    (tmp_path / "planes.txt").write_text("0.5")
    assert "save C x H x W as .npy" in refusal(probabilities, tmp_path / "planes.txt", 24)


def test_scribbles_are_lines_on_nothing() -> None:
    across = {"label": 1, "size": 0.1, "points": [0.1, 0.25, 0.9, 0.25]}
    down = {"label": 0, "size": 0.1, "points": [0.5, 0.0, 0.5, 0.5]}
    found = scribbles([across, down], 50, 100)
    assert found[25, 20] == 1
    assert found[25, 50] == 0  # the later one
    assert found[5, 50] == 0
    assert found[5, 20] == VOID
    assert 8 <= (found[:, 30] == 1).sum() <= 12  # a tenth of the width
    erased = scribbles([across, {"label": 255, "size": 0.3, "points": [0.2, 0.25]}], 50, 100)
    assert erased[25, 20] == VOID
    assert erased[25, 80] == 1
    np.testing.assert_array_equal(scribbles([], 5, 5), np.full((5, 5), VOID))


@pytest.mark.parametrize(
    "strokes",
    [
        None,
        "strokes",
        [1],
        [{}],
        [{"label": 0, "size": 0.1, "points": []}],
        [{"label": 0, "size": 0.1, "points": [1]}],
        [{"label": 9, "size": 0.1, "points": [0, 0]}],
        [{"label": -1, "size": 0.1, "points": [0, 0]}],
        [{"label": 0, "size": 1e9, "points": [0, 0]}],
        [{"label": 0, "size": 0.1, "points": [0, float("nan")]}],
        [{"label": 0, "size": 0.1, "points": [0, 1e300]}],
        [{"label": 0, "size": 0.1, "points": ["a", "b"]}],
        [{"label": 0, "size": 0.1, "points": [0, 0] * 200_000}],
    ],
)
def test_what_the_page_never_sends_is_refused(strokes: Any) -> None:
    with pytest.raises(CaffeError, match="no scribbles"):
        scribbles(strokes, 10, 10)
