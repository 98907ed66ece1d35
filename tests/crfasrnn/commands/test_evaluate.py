"""`crfasrnn evaluate` as a user calls it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from support.commands import crfasrnn, failure, refusal, run, status
from support.crfasrnn.datasets import (
    HEIGHT,
    WIDTH,
    labels_of,
    make_folder,
    make_voc,
)
from support.crfasrnn.models import save_net, scores

from crfasrnn import Segmenter
from crfasrnn.evaluation import metrics
from crfasrnn.pictures.label_maps import label_palette, read_labels, voc_palette, write_labels
from crfasrnn.pictures.photographs import read_image


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
        options = ("--trimap", "--boundary", "--mean-over", "8,12")
        out = run(capsys, "evaluate", "--voc", root, "--predictions", folder, *options, *files)
    for words in ("mean IU", "mean IU of 2", "mean boundary F", "pixels from void", "images"):
        assert words in out
    confusion = np.zeros((21, 21), np.int64)
    for index in range(4):
        truth = read_labels(root / "SegmentationClass" / f"i{index}.png")
        confusion += metrics.confusion_matrix(truth, read_labels(first / f"i{index}.png"), 21)
    written = json.loads(Path(f"{first}.json").read_text())
    assert written["confusion"] == confusion.tolist()
    assert written["mean_iu"] == metrics.mean_iu(confusion)
    assert written["mean_iu_of_2"] == np.mean(metrics.per_class_iu(confusion)[[8, 12]]) != written["mean_iu"]
    assert len(written["trimap_mean_iu"]) == 40
    assert written["per_class_boundary_f"][1] is None
    out = run(capsys, "compare", f"{first}.npz", f"{second}.npz", "--resamples", 300)
    assert "not better   in 0.00 % of 300 resamples of 4 images" in out
    message = refusal(capsys, "evaluate", "--voc", root, "--predictions", first, "--mean-over", "8,21")
    assert "--mean-over 21: the last of the 21 classes is 20, tv/monitor" in message


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("rule", ["apply", "ignore"])
def test_labels_of_segment_are_those_that_evaluate_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], orientation: int, rule: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "x.jpg"
    Image.fromarray(skimage.data.chelsea()[:96, :128]).save(photo, exif=exif, quality=95)
    model = save_net(tmp_path, scores)
    model_options = ("--model", model[0], "--weights", model[1], "--exif", rule)
    run(capsys, "segment", photo, *model_options, "--output", tmp_path / "masks")
    (tmp_path / "masks" / "x_labels.png").rename(tmp_path / "masks" / "x.png")
    data = ("--images", tmp_path / "photos", "--masks", tmp_path / "masks")
    chosen = ("--classes", "0,1,2", "--exif", rule)
    out = run(capsys, "evaluate", *data, *model_options, "--classes", "0,1,2", "--json", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["mean_iu"] == 1
    assert ("EXIF data ask to turn 1 of 1 photograph, e.g." in out) == (orientation > 1)
    assert ("EXIF data ask to turn 1 of 1 photograph, e.g." in run(capsys, "data", "check", *data, *chosen)) == (
        orientation > 1
    )
    other = {"apply": "ignore", "ignore": "apply"}[rule]
    if orientation == 6:
        assert f"--exif {rule}" in refusal(capsys, "data", "lmdb", *data, "--exif", other, "--output", tmp_path / "db")


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
    assert "i2: no prediction in" in refusal(
        capsys, "evaluate", "--voc", root, "--predictions", first, "--archive", tmp_path / "a.tgz"
    )
    write_labels(first / "i2.png", np.zeros((3, 3), np.uint8))
    assert "i2: truth has shape" in refusal(capsys, "evaluate", "--voc", root, "--predictions", first)
    write_labels(first / "i2.png", np.full((HEIGHT, WIDTH), 30, np.uint8))
    assert "i2: given label 30 is not one of the 21 classes" in refusal(
        capsys, "evaluate", "--voc", root, "--predictions", first
    )
    assert not [path for path in tmp_path.iterdir() if "tgz" in path.name]


def test_evaluate_prints_the_scores_of_its_own_labels(tmp_path: Path, voc: Path) -> None:
    files = save_net(tmp_path, scores)
    arguments = ["--voc", voc, "--list", "val", "--classes", "0,8,12", "--size", "90", "--json", tmp_path / "s.json"]
    done = crfasrnn("evaluate", "--model", files[0], "--weights", files[1], *arguments)
    assert done.returncode == 0, done.stderr
    segmenter = Segmenter(*files, size=90)
    confusion = np.zeros((3, 3), np.int64)
    for name in "ab":
        labels = segmenter.segment(read_image(voc / "JPEGImages" / f"{name}.jpg")).labels
        truth = read_labels(voc / "SegmentationClass" / f"{name}.png")
        for row, number in enumerate((0, 8, 12)):
            confusion[row] += np.bincount(labels[truth == number], minlength=3)
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["confusion"] == confusion.tolist()
    assert f"{100 * metrics.mean_iu(confusion):.1f}" in done.stdout
    named = ("--voc", voc, "--classes", "0,8,10,12,13,15,17")
    assert "names 7" in failure("evaluate", "--model", files[0], "--weights", files[1], *named)


def test_an_archive_is_for_voc_alone(capsys) -> None:
    options = ("--images", "x", "--masks", "y", "--archive", "z")
    assert "--archive is for VOC's" in refusal(capsys, "evaluate", *options)


def test_labels_of_fewer_classes_do_not_score_in_silence(
    scored: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = scored[0]
    truths = {path.stem: read_labels(path) for path in (root / "SegmentationClass").iterdir()}
    chosen = {0: 0, 8: 1, 12: 2, 255: 0}
    for folder in ("coloured", "grey"):
        (tmp_path / folder).mkdir()
        for name, truth in truths.items():
            labels = np.vectorize(chosen.get)(truth).astype(np.uint8)
            if folder == "grey":
                Image.fromarray(labels).save(tmp_path / folder / f"{name}.png")
            else:
                write_labels(tmp_path / folder / f"{name}.png", labels, label_palette((0, 8, 12)))
    given = ["evaluate", "--voc", root, "--predictions"]
    assert "has the colour of VOC's class" in failure(*given, tmp_path / "coloured")
    assert "note: no label above 2 was given, while the truth goes to 12 (dog)" in run(
        capsys, *given, tmp_path / "grey"
    )
    for folder in ("coloured", "grey"):
        out = run(capsys, *given, tmp_path / folder, "--classes", "0,8,12")
        assert "100.0" in out
        assert "note:" not in out


def test_masks_of_0_and_255_do_not_score_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.eye(HEIGHT, WIDTH, dtype=np.uint8)
    images, masks = make_folder(tmp_path / "own", {"a": 255 * labels})
    (tmp_path / "given").mkdir()
    write_labels(tmp_path / "given/a.png", 1 - labels)
    (tmp_path / "names.txt").write_text("background\nobject\n")
    given = ["evaluate", "--images", images, "--masks", masks, "--predictions", tmp_path / "given"]
    out = run(capsys, *given, "--names", tmp_path / "names.txt")
    assert "note: there is nothing but label 0 and 255, and 255 is void" in out
    out = run(capsys, *given, "--classes", "0,255")
    assert "note:" not in out
    assert "mean IU" in out
    write_labels(masks / "a.png", np.where(labels, 1, 255).astype(np.uint8))
    assert "note: there" not in run(capsys, *given, "--names", tmp_path / "names.txt")


def test_masks_without_names_are_taken_for_the_models_classes_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, masks = make_folder(tmp_path / "own", {"a": labels_of({0: 1})})
    given = ["evaluate", "--images", images, "--masks", masks, "--size", 64]
    told = "numbers were taken for the model's classes, 0 (background) to 20 ("
    assert told in run(capsys, *given)
    assert told not in run(capsys, *given, "--classes", ",".join(map(str, range(21))))


def test_what_is_scored_is_not_overwritten(scored: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    root, first, _ = scored
    before = {path: path.read_bytes() for path in (*first.iterdir(), *(root / "SegmentationClass").iterdir())}
    for folder in (first, root / "SegmentationClass"):
        message = refusal(capsys, "evaluate", "--voc", root, "--predictions", first, "--save-labels", folder)
        assert f"{str(folder / 'i0.png')!r} would be overwritten, which is to be read" in message
    assert {path: path.read_bytes() for path in before} == before


def test_saved_labels_have_the_colours_of_their_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Black is for the background, and colours of one's own count."""
    truth = labels_of({0: 1, 1: 2})
    images, masks = make_folder(tmp_path, {"a": truth})
    (tmp_path / "names.txt").write_text("sky\ntree\nroad\n")
    (tmp_path / "colours.txt").write_text("road 128 64 128\n")
    data = ("--images", images, "--masks", masks, "--names", tmp_path / "names.txt", "--predictions", masks)
    for options, colours in (((), (3, 1, 2)), (("--colours", tmp_path / "colours.txt"), (3, 1, [128, 64, 128]))):
        run(capsys, "evaluate", *data, "--save-labels", tmp_path / "saved", *options)
        picture = Image.open(tmp_path / "saved" / "a.png")
        np.testing.assert_array_equal(np.array(picture), truth)
        expected = [voc_palette()[colour].tolist() if isinstance(colour, int) else colour for colour in colours]
        assert [np.array(picture.convert("RGB"))[truth == label][0].tolist() for label in range(3)] == expected


def test_the_others_are_scored_and_what_failed_is_told_last(
    scored: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, first, _ = scored
    (first / "i1.png").write_bytes(b"?")
    (first / "i2.png").unlink()
    command = ["evaluate", "--voc", root, "--predictions", first, "--processes", 2, "--json", tmp_path / "s.json"]
    assert status(*command) == 1
    out, err = capsys.readouterr()
    assert "2 of 4 images failed:\nerror: cannot read label map" in err
    assert "i2: no prediction" in err.splitlines()[-1]
    assert json.loads((tmp_path / "s.json").read_text())["images"] == 2
    assert "mean IU" in out
