"""What labels and classes mean: VOC's numbers, the mean of the released models, and files that name a model's classes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.reference_data import REPOSITORY

from caffe.errors import CaffeError
from crfasrnn.classes import (
    MEAN_BGR,
    VOC_ANIMALS,
    VOC_CLASSES,
    VOID,
    Classes,
    read_classes,
    unnamed_classes,
    write_classes,
)


def test_voc_has_its_21_classes_in_alphabetical_order() -> None:
    assert len(VOC_CLASSES) == 21
    assert list(VOC_CLASSES[1:]) == sorted(VOC_CLASSES[1:])
    # Numbers of the development kit's documentation.
    assert [VOC_CLASSES.index(name) for name in ("background", "cat", "person", "tv/monitor")] == [0, 8, 15, 20]
    assert VOID not in range(len(VOC_CLASSES))


@pytest.mark.parametrize("name", ["slim/fcn8s_train", "voc21/crfrnn_train"])
def test_the_networks_are_trained_with_the_same_mean_and_void(name: str) -> None:
    text = (REPOSITORY / "prototxt" / f"{name}.prototxt").read_text()
    means = re.findall(r"mean_value: (\S+)", text)
    assert [float(value) for value in means] == pytest.approx(MEAN_BGR)
    assert set(re.findall(r"ignore_label: (\d+)", text)) == {str(VOID)}


def test_the_bundled_models_classes_are_vocs() -> None:
    classes = read_classes(REPOSITORY / "models" / "voc-animals-slim" / "classes.txt")
    assert classes.names == tuple(VOC_CLASSES[number] for number in classes.voc_ids)
    assert classes.voc_ids == VOC_ANIMALS


@pytest.mark.parametrize(
    ("names", "text", "numbers"),
    [
        (("background", "dog", "tv/monitor"), "0 background\n12 dog\n20 tv/monitor\n", (0, 12, 20)),
        (("ground", "tree trunk", "dog"), "0 ground\n1 tree trunk\n2 dog\n", (0, 1, 2)),
    ],
)
def test_classes_come_back_from_their_file(
    tmp_path: Path, names: tuple[str, ...], text: str, numbers: tuple[int, ...]
) -> None:
    write_classes(tmp_path / "classes.txt", names)
    assert (tmp_path / "classes.txt").read_text() == text
    assert read_classes(tmp_path / "classes.txt") == Classes(names, numbers)


@pytest.mark.parametrize("line", ["cat", "255 cat", "-1 cat", "8", "8 ", ""])
def test_other_lines_are_refused_with_their_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "classes.txt").write_text(f"0 background\n{line}\n12 dog\n")
    with pytest.raises(CaffeError, match=r"classes\.txt:2: expected '<number below 255> <class name>'"):
        read_classes(tmp_path / "classes.txt")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"ground\ntree trunk\nsky\n", Classes(("ground", "tree trunk", "sky"), (0, 1, 2))),
        (b"background\ntv/monitor\ncat", Classes(("background", "tv/monitor", "cat"), (0, 20, 8))),
        (b"sky\n2 wheeler\n\n\n", Classes(("sky", "2 wheeler"), (0, 1))),
        (b"0 sky\n1\ttwo wheeler\n", Classes(("sky", "two wheeler"), (0, 1))),
        ("\ufeffHimmel\r\nBäume\r\n".encode(), Classes(("Himmel", "Bäume"), (0, 1))),
        ("\ufeff0 Himmel\r\n8 Bäume\r\n".encode(), Classes(("Himmel", "Bäume"), (0, 8))),
    ],
)
def test_names_come_with_numbers_or_without(tmp_path: Path, content: bytes, expected: Classes) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    assert read_classes(tmp_path / "names.txt") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must name 1 to 255 classes, one a line; it has none"),
        (b"x\n\n" * 255, r"must name 1 to 255 classes, one a line; it has 509 lines"),
        (b"sky\n\ntree\n", r"names\.txt:2: expected the name of a class, found ''"),
        ("sky\ntree\n".encode("utf-16"), "is not UTF-8 text: it is UTF-16, save it as UTF-8"),
        ("sky\ntree\n".encode("utf-16-le"), "is not UTF-8 text: it is UTF-16, save it as UTF-8"),
        ("Bäume\n".encode("latin-1"), "is not UTF-8 text: invalid continuation byte"),
    ],
)
def test_files_that_name_no_classes(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(CaffeError, match=message):
        read_classes(tmp_path / "names.txt")


def test_classes_without_names_are_numbered() -> None:
    assert unnamed_classes(2) == Classes(("class 0", "class 1"), (0, 1))
    assert unnamed_classes(21).names[8] == "class 8"


def test_they_can_be_asked_for_without_torch_and_numpy() -> None:
    program = "import sys, crfasrnn.classes; print(sorted({'torch', 'cv2', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_number_0_is_background_unless_it_is_named_otherwise() -> None:
    assert Classes(("background", "cat"), (0, 8)).backgrounds == unnamed_classes(2).backgrounds == (True, False)
    assert Classes(("sky", "background"), (0, 1)).backgrounds == (False, False)


def test_more_classes_than_labels_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"a classes.txt has at most 255 classes, not 256"):
        write_classes(tmp_path / "classes.txt", ["x"] * 256)
    write_classes(tmp_path / "classes.txt", ["x"] * 255)
    assert len(read_classes(tmp_path / "classes.txt")) == 255
