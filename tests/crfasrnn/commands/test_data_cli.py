"""`crfasrnn data`, `evaluate` and `compare` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.datasets import (
    HEIGHT,
    WIDTH,
    instances,
    labels_of,
    make_coco,
    make_context,
    make_sbd,
    make_voc,
    photograph,
    rectangle,
)

from crfasrnn.classes import read_classes
from crfasrnn.commands.main import main
from crfasrnn.datasets.databases import read_database
from crfasrnn.evaluation import metrics
from crfasrnn.pictures.label_maps import read_labels, voc_palette, write_labels


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command prints; it must succeed, and show no progress bar to who is no terminal."""
    assert main([str(argument) for argument in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that must fail."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as problem:
        status = int(problem.code or 0)
    assert status == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


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
    (tmp_path / "names.txt").write_text("ground\nline\nshore\n")
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


def test_check_lists_all_problems_and_fails(own: tuple[Path, Path], capsys) -> None:
    (own[1] / "p3.png").unlink()
    (own[0] / "p5.jpg").write_bytes(b"?")
    assert main(["data", "check", "--images", str(own[0]), "--masks", str(own[1])]) == 1
    out, err = capsys.readouterr()
    assert "10 images, 2 problems" in out
    assert [line.split()[0] for line in err.splitlines()] == ["error:", "error:"]
    assert "p3.png' is missing" in err
    assert "p5.jpg" in err


def test_sources_name_addresses_sizes_and_checksums(capsys) -> None:
    out = run(capsys, "data", "sources")
    for words in (
        "VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        "1,419,539,633 bytes",
        "downloads nothing",
    ):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "check"], "required: --voc"),
        (["data", "check", "--coco", "x"], "--coco needs --images"),
        (["data", "check", "--context", "x"], "--context needs --voc"),
        (["data", "check", "--sbd", "x", "--images", "y"], "do not go together: --images, --sbd"),
        (["data", "check", "--images", "x"], "--images needs --masks"),
        (["data", "check", "--images", "x", "--masks", "y"], "no folder of images 'x'"),
        (["data", "check", "--voc", "x"], "--voc needs --list"),
        (["data", "check", "--sbd", "x", "--list", "train"], "no list 'train.txt' in SBD folder 'x'"),
        (["data", "check", "--voc", "x", "--sbd", "y", "--list", "a", "--list", "b"], "needs one list"),
        (["data", "check", "--coco", "none.json", "--images", "y"], "cannot read annotations 'none.json'"),
        (["data", "check", "--context", "x", "--voc", "y", "--list", "train"], "cannot read list 'x/labels.txt'"),
        (["compare", "none.npz", "none.npz"], "cannot read 'none.npz'"),
        (["evaluate", "--images", "x", "--masks", "y", "--archive", "z"], "--archive is for VOC's"),
    ],
)
def test_wrong_command_lines_give_one_line(arguments: list[str], words: str, capsys) -> None:
    assert words in failure(capsys, *arguments)


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Path, Path, Path]:
    """VOC with four images, void and two classes; predictions that miss some rows, and better ones."""
    truths = {f"i{index}": labels_of({0: 12, 1: 12, 2: 255, 3 + index: 8}) for index in range(4)}
    root = make_voc(tmp_path / "VOC2012", {"val": truths})
    for folder, wrong in (("first", 2), ("second", 1)):
        (tmp_path / folder).mkdir()
        for name, truth in truths.items():
            labels = np.where(truth == 255, 0, truth).astype(np.uint8)
            labels[:wrong, ::2] = 0
            write_labels(tmp_path / folder / f"{name}.png", labels)
    return root, tmp_path / "first", tmp_path / "second"


def test_saved_labels_are_scored_and_compared(scored: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    root, first, second = scored
    for folder in (first, second):
        files = ("--json", f"{folder}.json", "--per-image", f"{folder}.npz")
        out = run(capsys, "evaluate", "--voc", root, "--predictions", folder, "--trimap", "--boundary", *files)
    for words in ("mean IU", "mean boundary F", "pixels from void", "images"):
        assert words in out
    confusion = np.zeros((21, 21), np.int64)
    for index in range(4):
        truth = read_labels(root / "SegmentationClass" / f"i{index}.png")
        confusion += metrics.confusion_matrix(truth, read_labels(first / f"i{index}.png"), 21)
    written = json.loads(Path(f"{first}.json").read_text())
    assert written["confusion"] == confusion.tolist()
    assert written["mean_iu"] == metrics.mean_iu(confusion)
    assert len(written["trimap_mean_iu"]) == 40
    assert written["per_class_boundary_f"][1] is None
    out = run(capsys, "compare", f"{first}.npz", f"{second}.npz", "--resamples", 300)
    assert "not better   in 0.00 % of 300 resamples of 4 images" in out


def test_the_archive_is_laid_out_as_vocs_server_wants(scored: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    root, first, _ = scored
    for name in ("a.tgz", "b.tgz"):
        files = ("--archive", tmp_path / name, "--save-labels", tmp_path / "copies")
        run(capsys, "evaluate", "--voc", root, "--predictions", first, *files)
    for path in first.iterdir():
        np.testing.assert_array_equal(read_labels(tmp_path / "copies" / path.name), read_labels(path))
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()
    with tarfile.open(tmp_path / "a.tgz") as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "out", filter="data")
    assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/i{index}.png" for index in range(4)]
    picture = Image.open(tmp_path / "out" / names[1])
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.array(picture), read_labels(first / "i1.png"))
    np.testing.assert_array_equal(np.array(picture.convert("RGB"))[4, 1], voc_palette()[8])


def test_a_list_without_label_maps_can_be_archived_with_vocs_numbers(
    scored: tuple[Path, Path, Path], tmp_path: Path, capsys
) -> None:
    root, first, _ = scored
    for path in (root / "SegmentationClass").iterdir():
        path.unlink()
    for path in first.iterdir():
        write_labels(path, (read_labels(path) == 12).astype(np.uint8))
    options = ("--voc", root, "--predictions", first, "--classes", "0,12", "--archive", tmp_path / "a.tgz")
    assert "4 images without label maps" in run(capsys, "evaluate", *options)
    with tarfile.open(tmp_path / "a.tgz") as archive:
        file = archive.extractfile(archive.getnames()[0])
        assert set(np.unique(np.array(Image.open(file)))) == {0, 12}


def test_a_failed_evaluation_leaves_no_archive(scored: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    root, first, _ = scored
    (first / "i2.png").unlink()
    assert "i2: no prediction in" in failure(
        capsys, "evaluate", "--voc", root, "--predictions", first, "--archive", tmp_path / "a.tgz"
    )
    write_labels(first / "i2.png", np.zeros((3, 3), np.uint8))
    assert "i2: truth has shape" in failure(capsys, "evaluate", "--voc", root, "--predictions", first)
    write_labels(first / "i2.png", np.full((HEIGHT, WIDTH), 30, np.uint8))
    assert "i2: given label 30 is none of the 21 classes" in failure(
        capsys, "evaluate", "--voc", root, "--predictions", first
    )
    assert not [path for path in tmp_path.iterdir() if "tgz" in path.name]


def test_help_answers_without_loading_torch_or_numpy() -> None:
    program = (
        "import sys\nfrom crfasrnn.commands import main as cli\n"
        "try: cli.main(['data', 'lmdb', '--help'])\nexcept SystemExit: print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--reduce-zero-label" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"
