"""`crfasrnn data` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import crfasrnn, failure, refusal, run, status
from support.crfasrnn.datasets import instances, labels_of, make_coco, photograph, rectangle

from crfasrnn.classes import read_classes, unnamed_classes
from crfasrnn.commands.main import main
from crfasrnn.datasets.databases import read_database
from crfasrnn.pictures.label_maps import write_labels


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """Ten photographs and masks of somebody's own, with three labels."""
    (tmp_path / "masks").mkdir()
    for index in range(10):
        photograph(tmp_path / "photos" / f"p{index}.jpg")
        write_labels(tmp_path / "masks" / f"p{index}.png", labels_of({index: 1, 11: 2}))
    return tmp_path / "photos", tmp_path / "masks"


def test_own_pictures_become_two_pairs_of_databases(own: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    source = ("--images", own[0], "--masks", own[1])
    assert "10 images, 0 problems" in run(capsys, "data", "check", *source)
    assert "val.txt: 3 images" in run(capsys, "data", "split", *source, "--share", 0.3, "--output", tmp_path)
    assert not (tmp_path / "classes.txt").exists()
    (tmp_path / "names.txt").write_text("ground\nline\nshore\n")
    run(capsys, "data", "split", *source, "--share", 0.3, "--output", tmp_path, "--names", tmp_path / "names.txt")
    assert read_classes(tmp_path / "classes.txt").names == ("ground", "line", "shore")
    lists = {name: (tmp_path / f"{name}.txt").read_text().split() for name in ("train", "val")}
    assert sorted(lists["train"] + lists["val"]) == [f"p{index}" for index in range(10)]
    for name, stems in lists.items():
        options = ("--list", tmp_path / f"{name}.txt", "--names", tmp_path / "names.txt", "--output", tmp_path / name)
        out = run(capsys, "data", "lmdb", *source, *options)
        assert "num_output: 3" in out
        assert len(list(read_database(tmp_path / name / "image_lmdb"))) == len(stems)
        found = sorted(
            int(np.argmax(labels[0, :, 0] == 1)) for _, labels in read_database(tmp_path / name / "label_lmdb")
        )
        assert found == sorted(int(stem[1:]) for stem in stems)
        assert read_classes(tmp_path / name / "classes.txt").names == ("ground", "line", "shore")


def test_check_lists_all_problems_and_fails(own: tuple[Path, Path], capsys) -> None:
    (own[1] / "p3.png").unlink()
    (own[0] / "p5.jpg").write_bytes(b"?")
    assert main(["data", "check", "--images", str(own[0]), "--masks", str(own[1])]) == 1
    out, err = capsys.readouterr()
    assert "10 images, 2 problems" in out
    assert [line.split()[0] for line in err.splitlines()] == ["error:", "error:"]
    assert "p3.png' is missing" in err
    assert "p5.jpg" in err
    (own[0].parent / "none.txt").touch()
    options = ("--images", own[0], "--masks", own[1], "--list", own[0].parent / "none.txt")
    assert "none.txt' is empty" in refusal(capsys, "data", "check", *options)


def test_sources_name_addresses_sizes_and_checksums(capsys) -> None:
    out = run(capsys, "data", "sources")
    for words in (
        "VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        "1,419,539,633 bytes",
        "downloads nothing",
    ):
        assert words in out


def test_data_lmdb_says_what_it_wrote(tmp_path: Path, voc: Path) -> None:
    output = tmp_path / "data"
    arguments = ["--voc", voc, "--list", "val", "--classes", "0,8", "--size", "64", "--mirror", "--output", output]
    done = crfasrnn("data", "lmdb", *arguments)
    assert done.returncode == 0, done.stderr
    assert "4 entries from 2 images" in done.stdout
    labels = [label for _, label in read_database(output / "label_lmdb")]
    assert [max(label.shape) for label in labels] == [64] * 4
    assert set(np.unique(np.concatenate([label.ravel() for label in labels]))) == {0, 1, 255}
    assert "exists already" in failure("data", "lmdb", *arguments)


def test_a_split_leaves_out_what_has_no_mask_and_its_lists_are_good_for_databases(
    own: tuple[Path, Path], tmp_path: Path, capsys
) -> None:
    source = ("--images", own[0], "--masks", own[1])
    (own[1] / "p3.png").unlink()
    assert status("data", "split", *source, "--output", tmp_path / "own") == 0
    assert capsys.readouterr().err == "note: 1 image without a photograph or a mask left out: p3\n"
    lists = {name: (tmp_path / "own" / f"{name}.txt").read_text().split() for name in ("train", "val")}
    assert sorted(lists["train"] + lists["val"]) == [f"p{index}" for index in range(10) if index != 3]
    for name in lists:
        run(capsys, "data", "lmdb", *source, "--list", tmp_path / "own" / f"{name}.txt", "--output", tmp_path / name)
    assert "make that mask, or leave the name out" in refusal(
        capsys, "data", "lmdb", *source, "--output", tmp_path / "all"
    )
    for mask in own[1].iterdir():
        mask.unlink()
    assert "p0.png' is missing" in refusal(capsys, "data", "split", *source, "--output", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_split_does_not_draw_anew_over_its_lists(own: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    split = ("data", "split", "--images", own[0], "--masks", own[1], "--output", tmp_path / "own")
    first = run(capsys, *split)
    before = {path: path.read_text() for path in (tmp_path / "own").iterdir()}
    assert run(capsys, *split) == first
    assert "train.txt' exists already with other content: remove it or" in refusal(capsys, *split, "--seed", 2)
    assert {path: path.read_text() for path in (tmp_path / "own").iterdir()} == before


def test_chosen_classes_are_as_many_as_were_chosen(own: tuple[Path, Path], voc: Path, tmp_path: Path, capsys) -> None:
    lmdb = ("data", "lmdb", "--images", own[0], "--masks", own[1])
    assert "11 classes: a net" in run(capsys, *lmdb, "--classes", "0-10", "--output", tmp_path / "eleven")
    assert read_classes(tmp_path / "eleven" / "classes.txt") == unnamed_classes(11)
    lmdb = ("data", "lmdb", "--voc", voc, "--list", "val")
    assert "7 classes: a net" in run(capsys, *lmdb, "--classes", "0,8,10,12,13,15,17", "--output", tmp_path / "seven")
    assert read_classes(tmp_path / "seven" / "classes.txt").voc_ids == (0, 8, 10, 12, 13, 15, 17)


def test_one_problem_is_one_and_no_class_needs_no_net(tmp_path: Path, capsys) -> None:
    (tmp_path / "masks").mkdir()
    photograph(tmp_path / "photos" / "a.jpg")
    assert main(["data", "check", "--images", str(tmp_path / "photos"), "--masks", str(tmp_path / "masks")]) == 1
    out = capsys.readouterr().out
    assert "1 image, 1 problem\n" in out
    assert "num_output" not in out


def test_names_of_a_list_are_without_endings(own: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    (tmp_path / "names.txt").write_text("p1.jpg\n")
    lmdb = ("data", "lmdb", "--images", own[0], "--masks", own[1], "--list", tmp_path / "names.txt")
    assert "names in a list are without the ending" in refusal(capsys, *lmdb, "--output", tmp_path / "made")


def test_masks_in_colours_go_all_the_way_to_databases(tmp_path: Path, capsys) -> None:
    (tmp_path / "coloured").mkdir()
    colours = np.array([[0, 0, 0], [70, 130, 180], [128, 64, 128]], np.uint8)
    for index in range(4):
        photograph(tmp_path / "photos" / f"p{index}.jpg")
        rgb = colours[labels_of({index: 1, 11: 2})]
        Image.fromarray(rgb).save(tmp_path / "coloured" / f"p{index}_L{('.tif', '.bmp', '.PNG', '.gif')[index]}")
    (tmp_path / "classes.csv").write_text("name,r,g,b\nVoid,0,0,0\nSky,70,130,180\nRoad,128,64,128\n")
    masks = ("data", "masks", tmp_path / "coloured", "--palette", tmp_path / "classes.csv", "--ending", "_L")
    out = run(capsys, *masks, "--output", tmp_path / "masks")
    assert "note: 'Void' is a class here; --void Void lets it count nowhere" in out
    out = run(capsys, *masks, "--output", tmp_path / "masks", "--void", "Void")
    assert f"4 masks -> {tmp_path / 'masks'} (--names {tmp_path / 'masks' / 'classes.txt'})" in out
    assert "note" not in out
    source = (
        "--images",
        tmp_path / "photos",
        "--masks",
        tmp_path / "masks",
        "--names",
        tmp_path / "masks" / "classes.txt",
    )
    assert "4 images, 0 problems" in run(capsys, "data", "check", *source)
    assert "2 classes: a net" in run(capsys, "data", "lmdb", *source, "--output", tmp_path / "made")


def test_masks_that_do_not_fit_are_one_error(tmp_path: Path, capsys) -> None:
    (tmp_path / "coloured").mkdir()
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(tmp_path / "coloured" / "a.png")
    masks = ("data", "masks", tmp_path / "coloured", "--output", tmp_path / "masks")
    assert "row 0, column 0 has the colour 9 9 9 (#090909)" in refusal(capsys, *masks, "--palette", "binary")
    assert "--void and --nearest are for a --palette" in refusal(capsys, *masks, "--nearest")
    assert not (tmp_path / "masks").exists()
    out = run(capsys, *masks, "--palette", "binary", "--nearest")
    assert "note: 20 pixels had other colours and took the nearest, 16 away at most" in out
    photograph(tmp_path / "photos" / "a.jpg", 4, 5)
    (tmp_path / "coloured" / "a.png").rename(tmp_path / "coloured" / "a.bmp")
    source = ("--images", tmp_path / "photos", "--masks", tmp_path / "coloured")
    refused = refusal(capsys, "data", "lmdb", *source, "--output", tmp_path / "made")
    assert "a.png' is missing, but 'a.bmp' is there: crfasrnn data masks makes" in refused


def test_coco_with_classes_of_its_own_is_split_and_trained_on(tmp_path: Path, capsys) -> None:
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 12, "width": 16} for number in range(5)]
    annotations = [
        {"id": i, "image_id": i, "category_id": 3, "iscrowd": 0, "segmentation": [rectangle(0, 0, 5, 5)]}
        for i in range(5)
    ]
    path, folder = make_coco(tmp_path, instances(images, annotations) | {"categories": [{"id": 3, "name": "kiln"}]})
    for image in images:
        photograph(folder / image["file_name"])
    source = ("--coco", path, "--images", folder, "--categories", "own")
    assert "1 kiln" in run(capsys, "data", "check", *source)
    run(capsys, "data", "split", *source, "--output", tmp_path / "own")
    lmdb = ("data", "lmdb", *source, "--list", tmp_path / "own" / "val.txt", "--output", tmp_path / "own" / "val")
    assert "1 entry from 1 image" in run(capsys, *lmdb)
    assert read_classes(tmp_path / "own" / "val" / "classes.txt").names == ("background", "kiln")
    wrong = ("data", "check", "--images", folder, "--masks", folder, "--categories", "own")
    assert "--categories and --min-labelled are for --coco" in refusal(capsys, *wrong)
