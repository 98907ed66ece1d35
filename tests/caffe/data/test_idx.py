"""MNIST's files: what was written byte by byte is read; what is none is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from support.caffe.digits import write_idx, write_mnist

from caffe.data.idx import read_images, read_labelled, read_labels
from caffe.errors import CaffeError


def test_images_and_labels(tmp_path: Path) -> None:
    images, labels = write_mnist(tmp_path / "mnist", {"t10k": 5}, (3, 4))["t10k"]
    files = [tmp_path / "mnist" / name for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")]
    read = read_labelled(*files)
    for mine, truth in zip(read, (images, labels), strict=True):
        assert mine.dtype == np.uint8
        np.testing.assert_array_equal(mine, truth)
    # LeCun's page: the magic numbers 2051 and 2049.
    assert [int.from_bytes(file.read_bytes()[:4], "big") for file in files] == [2051, 2049]


def test_wrong_files_are_named(tmp_path: Path) -> None:
    images = write_idx(tmp_path / "images", np.zeros((3, 2, 2), int))
    labels = write_idx(tmp_path / "labels", np.zeros(3, int))
    content = images.read_bytes()
    for damaged, words in (
        (labels.read_bytes() + bytes(9), "Incorrect images file magic"),
        (gzip.compress(content), "is compressed; gunzip it first"),
        (content[:-1], "promises 3 x 2 x 2 bytes of images, 28 bytes in all; it has 27"),
        (content + b"\0", "it has 29"),
        (content[:15], "has 15 bytes, too few"),
        (b"", "has 0 bytes, too few"),
        (content[:4] + b"\xff" * 12, "promises 4294967295 x 4294967295 x 4294967295 bytes"),
        (content[:4] + bytes(12), "promises 0 x 0 x 0 bytes"),
    ):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(CaffeError, match=f"damaged: .*{words}"):
            read_images(tmp_path / "damaged")
    with pytest.raises(CaffeError, match="Incorrect labels file magic"):
        read_labels(images)
    with pytest.raises(OSError, match="missing: cannot be read: No such file"):
        read_labels(tmp_path / "missing")
    write_idx(tmp_path / "labels", np.zeros(4, int))
    with pytest.raises(CaffeError, match=r"has 3 images, .* 4 labels: they do not go together"):
        read_labelled(images, labels)
