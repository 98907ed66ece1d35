"""The command `crfasrnn`, run as users run it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from support.commands import crfasrnn, failure
from support.models import Files, save_net, scores, with_crf

from crfasrnn import Segmenter
from crfasrnn.datasets.databases import read_database
from crfasrnn.evaluation import metrics
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import read_image, write_image

CAT = np.ascontiguousarray(skimage.data.cat()[:120, :160, ::-1])
PERSON = np.ascontiguousarray(skimage.data.astronaut()[:150, 100:300, ::-1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A net with a CRF for three classes."""
    return save_net(tmp_path_factory.mktemp("net"), with_crf)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """A cat and a person on disk."""
    paths = [tmp_path / "cat.png", tmp_path / "person.jpg"]
    for path, image in zip(paths, (CAT, PERSON)):
        write_image(path, image)
    return paths


def model(files: Files) -> list[str | Path]:
    """The options that choose it."""
    return ["--model", files[0], "--weights", files[1]]


def test_segment_writes_labels_overlay_and_probabilities(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder"
    done = crfasrnn("segment", *photographs, *model(tiny), "--output", output, "--probabilities")
    assert done.returncode == 0, done.stderr
    segmenter = Segmenter(*tiny)
    for path in photographs:
        expected = segmenter.segment(read_image(path), probabilities=True)
        np.testing.assert_array_equal(read_labels(output / f"{path.stem}_labels.png"), expected.labels)
        np.testing.assert_allclose(
            np.load(output / f"{path.stem}_probabilities.npy"), expected.probabilities, atol=1e-6
        )
        assert read_image(output / f"{path.stem}_overlay.png").shape[0] > expected.labels.shape[0]
        assert str(output / f"{path.stem}_labels.png") in done.stdout
    assert len(list(output.iterdir())) == 6
    assert done.stderr == ""  # the progress bar is for terminals


@pytest.mark.parametrize(("options", "side"), [(["--size", "64"], 64), (["--size", "native"], None), ([], None)])
def test_segment_at_a_size(
    tiny: Files, photographs: list[Path], tmp_path: Path, options: list[str], side: int | None
) -> None:
    done = crfasrnn("segment", photographs[0], *model(tiny), "--output", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    expected = Segmenter(*tiny, size=side).segment(CAT).labels
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "cat_labels.png"), expected)


def test_segment_padded(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    done = crfasrnn("segment", photographs[1], *model(tiny), "--output", tmp_path / "out", "--pad", "--size", "100")
    assert done.returncode == 0, done.stderr
    expected = Segmenter(*tiny, size=100, pad=True).segment(read_image(photographs[1])).labels
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "person_labels.png"), expected)


def test_wrong_files_give_one_line_and_no_output(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    output = ["--output", tmp_path / "out"]
    cat = photographs[0]
    assert "'none.jpg': no such file" in failure("segment", cat, "none.jpg", *model(tiny), *output)
    assert "a folder" in failure("segment", tmp_path, *model(tiny), *output)
    assert "not found" in failure("segment", cat, "--model", tiny[0], "--weights", "none.caffemodel", *output)
    assert "no model 'nothing'" in failure("segment", cat, "--model", "nothing", *output)
    twin = tmp_path / "twin" / "cat.jpg"
    twin.parent.mkdir()
    write_image(twin, CAT)
    assert "results of the same name" in failure("segment", cat, twin, *model(tiny), *output)
    broken = tmp_path / "broken.prototxt"
    broken.write_text('layer { name: "data"\n  typ: "Input" }\n')
    assert "broken.prototxt:2:" in failure("segment", cat, "--model", broken, "--weights", tiny[1], *output)
    text = tmp_path / "text.caffemodel"
    text.write_text("this is no model")
    assert "text.caffemodel" in failure("segment", cat, "--model", tiny[0], "--weights", text, *output)
    assert not (tmp_path / "out").exists()


def test_layers_without_weights_are_reported(tiny: Files, photographs: list[Path], tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.prototxt"
    renamed.write_text(tiny[0].read_text().replace("inference1", "inference-of-mine"))
    done = crfasrnn("segment", photographs[0], "--model", renamed, "--weights", tiny[1], "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "has no weights for: inference-of-mine" in done.stderr


def test_a_damaged_photograph_is_reported_and_the_others_are_segmented(
    tiny: Files, photographs: list[Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(photographs[0].read_bytes()[:5000])
    done = crfasrnn("segment", damaged, photographs[1], *model(tiny), "--output", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "damaged.png" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["person_labels.png", "person_overlay.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "x.png", "--size", "0"], "'0' is not a size in pixels"),
        (["segment", "x.png", "--size", "big"], "'big' is not a size in pixels"),
        (["segment"], "required: IMAGE"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "required: COMMAND"),
        (["evaluate"], "required: --voc"),
        (["evaluate", "--voc", "nowhere"], "no list 'val' in VOC folder 'nowhere'"),
        (["evaluate", "--voc", "nowhere", "--classes", "0,cat"], "'0,cat' is not a list of different class numbers"),
        (["data", "lmdb", "--voc", "nowhere", "--list", "train", "--output", "x"], "no list 'train'"),
        (["data", "lmdb", "--voc", "v", "--list", "l", "--output", "x", "--scales", "9,x"], "'x' is not a size"),
    ],
)
def test_wrong_command_lines_give_one_line(arguments: list[str], message: str) -> None:
    assert message in failure(*arguments)


def test_help_answers_without_loading_torch() -> None:
    program = (
        "import sys\nfrom crfasrnn.commands import main as cli\n"
        "try: cli.main(['segment', '--help'])\nexcept SystemExit: print('torch' in sys.modules, 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--probabilities" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_ctrl_c_ends_with_130_and_whole_files(tiny: Files, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(300)]
    for path in paths:
        write_image(path, PERSON)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "crfasrnn.commands.main", "segment", *paths, *model(tiny), "--output", output]
    process = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a script inherits Ctrl-C as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("*_overlay.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    written = sorted(output.iterdir())
    assert 0 < len(written) < 600
    for path in written:
        assert not path.name.startswith(".")
        read_image(path)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder like VOC2012 with two photographs whose masks show cats, dogs, cows and void."""
    root = tmp_path / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(2)
    for name, image in (("a", CAT), ("b", PERSON)):
        write_image(root / "JPEGImages" / f"{name}.jpg", image)
        labels = rng.choice(np.array([0, 8, 10, 12, 255], np.uint8), image.shape[:2])
        write_labels(root / "SegmentationClass" / f"{name}.png", labels)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    return root


def test_evaluate_prints_the_scores_of_its_own_labels(tmp_path: Path, voc: Path) -> None:
    files = save_net(tmp_path, scores)
    arguments = ["--voc", voc, "--list", "val", "--classes", "0,8,12", "--size", "90", "--json", tmp_path / "s.json"]
    done = crfasrnn("evaluate", *model(files), *arguments)
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
    assert "names 7" in failure("evaluate", *model(files), "--voc", voc, "--classes", "0,8,10,12,13,15,17")


def test_data_lmdb_says_what_it_wrote(tmp_path: Path, voc: Path) -> None:
    output = tmp_path / "data"
    arguments = ["--voc", voc, "--list", "val", "--classes", "0,8", "--max-side", "64", "--mirror", "--output", output]
    done = crfasrnn("data", "lmdb", *arguments)
    assert done.returncode == 0, done.stderr
    assert "4 entries from 2 images" in done.stdout
    labels = [label for _, label in read_database(output / "label_lmdb")]
    assert [max(label.shape) for label in labels] == [64] * 4
    assert set(np.unique(np.concatenate([label.ravel() for label in labels]))) == {0, 1, 255}
    assert "exists already" in failure("data", "lmdb", *arguments)
