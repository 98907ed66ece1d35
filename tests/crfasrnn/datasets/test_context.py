"""Pascal Context's label maps by its own lists of labels."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy.io import savemat
from support.crfasrnn.datasets import (
    HEIGHT,
    WIDTH,
    labels_of,
    make_context,
    only_labels,
)
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.datasets import pascal_context
from crfasrnn.datasets.context import read_context_labels

pytestmark = pytest.mark.usefixtures("bounded_memory")


def test_context_follows_its_own_lists_of_labels(tmp_path: Path) -> None:
    stored = np.zeros((HEIGHT, WIDTH), np.uint16)
    stored[:6, 0] = [1, 2, 3, 4, 5, 6]  # accordion bedclothes cat cloth "pack of cards" table
    data = pascal_context(*make_context(tmp_path, {"2008_000002": stored}), ["train"])
    assert data.names == ("background", "cat", "diningtable", "bedcloth", "clothes")
    assert only_labels(data)[:7, 0].tolist() == [0, 3, 1, 4, 0, 2, 0]


def test_context_refuses_labels_beyond_its_list(tmp_path: Path) -> None:
    data = pascal_context(*make_context(tmp_path, {"a": np.full((HEIGHT, WIDTH), 7)}), ["train"])
    with pytest.raises(CaffeError, match=r"a\.mat': the label map holds 7, .* 0 to 6"):
        only_labels(data)


def _mats() -> list[bytes]:
    labels, found = labels_of({0: 8, 3: 15}), []
    for compress in (False, True):
        stream = io.BytesIO()
        savemat(stream, {"LabelMap": labels.astype(np.uint16)}, do_compression=compress)
        found.append(stream.getvalue())
    return found


@SETTINGS
@given(damaged(_mats()))
def test_context_maps(place: Path, content: bytes) -> None:
    one_error_or_a_result(partial(read_context_labels, np.zeros(460, np.uint8)), place, content)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("59_labels.txt", "1: cat\n2: unicorn\n", "class 'unicorn' of"),
        ("59_labels.txt", "cat\n", "expected '<number>: <name>', found 'cat'"),
        ("labels.txt", "", "is empty"),
        ("labels.txt", "70000: cat\n", "expected '<number>: <name>'"),
    ],
)
def test_lists_of_labels_that_are_none(tmp_path: Path, file: str, content: str, words: str) -> None:
    context, voc = make_context(tmp_path, {"a": np.full((HEIGHT, WIDTH), 3)})
    (context / file).write_text(content)
    with pytest.raises(CaffeError, match=words):
        pascal_context(context, voc, ["train"])
