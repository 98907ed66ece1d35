"""The options that name a data set: every source by its own, and what does not go together."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from support.commands import refusal, run
from support.crfasrnn.datasets import (
    HEIGHT,
    WIDTH,
    instances,
    labels_of,
    make_coco,
    make_context,
    make_folder,
    make_sbd,
    make_voc,
    only_labels,
    rectangle,
)

from crfasrnn.commands.shared.dataset_options import add_dataset, dataset_of, selected


def test_every_source_is_read_and_counted(tmp_path: Path, capsys) -> None:
    labels = labels_of({0: 8, 1: 15})
    voc = make_voc(tmp_path / "VOC2012", {"train": {"a": labels}, "val": {"b": labels, "c": labels}})
    sbd = make_sbd(tmp_path / "dataset", {"train": {"b": labels}, "val": {"x": labels}})
    image = {"id": 9, "file_name": "x.jpg", "height": 30, "width": 40}
    shape = {"id": 1, "image_id": 9, "category_id": 17, "iscrowd": 0, "segmentation": [rectangle(0, 0, 20, 20)]}
    annotations, photographs = make_coco(tmp_path / "coco", instances([image], [shape]))
    context, voc2010 = make_context(tmp_path, {"a": np.full((HEIGHT, WIDTH), 3)})
    sources = {
        ("--voc", voc, "--list", "train"): ("a", 1, f"{WIDTH}"),
        ("--sbd", sbd, "--list", "train", "--list", "val"): ("b x", 2, f"{2 * WIDTH}"),
        ("--voc", voc, "--sbd", sbd, "--list", "train"): ("a b x", 3, f"{3 * WIDTH}"),
        ("--voc", voc, "--sbd", sbd, "--list", "val"): ("c", 1, f"{WIDTH}"),
        ("--coco", annotations, "--images", photographs): ("x", 1, "400"),
        ("--context", context, "--voc", voc2010, "--list", "train"): ("a", 1, f"{HEIGHT * WIDTH}"),
    }
    for options, (names, images, pixels) in sources.items():
        assert run(capsys, "data", "list", *options).split() == names.split()
        row = next(line.split() for line in run(capsys, "data", "check", *options).splitlines() if " cat " in line)
        assert row[2:4] == [str(images), pixels]
    out = run(capsys, "data", "check", "--voc", voc, "--list", "train", "--classes", "0,15", "--others", "background")
    assert [line.split()[3] for line in out.splitlines()[1:3]] == [str((HEIGHT - 1) * WIDTH), str(WIDTH)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "check"], "required: --voc"),
        (["evaluate"], "required: --voc"),
        (["evaluate", "--voc", "nowhere"], "no list 'val' in VOC folder 'nowhere'"),
        (["data", "lmdb", "--voc", "nowhere", "--list", "train", "--output", "x"], "no list 'train'"),
        (["data", "check", "--coco", "x"], "--coco needs --images"),
        (["data", "check", "--context", "x"], "--context needs --voc"),
        (["data", "check", "--sbd", "x", "--images", "y"], "do not go together: --images, --sbd"),
        (["data", "check", "--images", "x"], "--images needs --masks"),
        (["data", "check", "--images", "x", "--masks", "y"], "no folder of images 'x'"),
        (["data", "check", "--voc", "x"], "--voc needs --list"),
        (["data", "check", "--voc", "x", "--void", "11"], "--void is for --images with --masks"),
        (["data", "check", "--voc", "x", "--names", "y"], "--names is for --images with --masks"),
        (["data", "check", "--sbd", "x", "--list", "train"], "no list 'train.txt' in SBD folder 'x'"),
        (["data", "check", "--voc", "x", "--sbd", "y", "--list", "a", "--list", "b"], "needs one list"),
        (["data", "check", "--coco", "none.json", "--images", "y"], "cannot read annotations 'none.json'"),
        (["data", "check", "--context", "x", "--voc", "y", "--list", "train"], "cannot read list 'x/labels.txt'"),
    ],
)
def test_wrong_command_lines_give_one_line(arguments: list[str], words: str, capsys) -> None:
    assert words in refusal(capsys, *arguments)


def test_classes_are_chosen_after_zero_became_void(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({0: 1, 1: 2, 2: 3})})
    parser = argparse.ArgumentParser()
    add_dataset(parser)
    given = ["--images", images, "--masks", masks, "--reduce-zero-label", "--classes", "2,0", "--others", "background"]
    arguments = parser.parse_args([str(part) for part in given])
    whole = dataset_of(arguments)
    assert only_labels(whole)[:4, 0].tolist() == [0, 1, 2, 255]
    assert only_labels(selected(whole, arguments))[:4, 0].tolist() == [1, 0, 0, 255]
    arguments.classes = None
    assert selected(whole, arguments) is whole


def test_a_void_of_ones_own_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({0: 10, 1: 11})})
    out = run(capsys, "data", "check", "--images", images, "--masks", masks, "--void", 11, "--classes", "0-10")
    assert "11 classes" in out
    assert next(line.split() for line in out.splitlines() if "void" in line)[3] == str(WIDTH)
