"""The search for CRF settings: its scores against a plain loop, resuming, processes, errors, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.commands.main import main
from crfasrnn.datasets import Example
from crfasrnn.evaluation import metrics
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.postprocessing import probability_cache as unaries
from crfasrnn.postprocessing.probabilities import read_probabilities, write_probabilities
from crfasrnn.postprocessing.search import Record, Result, Sample, search
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.utils import unary_from_softmax


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six pictures of a disc, with probabilities that are right where the noise lets them."""
    made = []
    for number in range(6):
        rng = np.random.default_rng(number)
        truth = np.zeros((24 + number, 32), np.uint8)
        cv2.circle(truth, (10 + 2 * number, 12), 7, 1, -1)
        picture = np.where(truth[..., None] == 1, np.uint8([190, 70, 40]), np.uint8([40, 90, 150]))
        picture = (picture + rng.integers(-8, 9, picture.shape)).astype(np.uint8)
        one = np.clip(0.35 + 0.3 * truth + rng.normal(0, 0.25, truth.shape), 0.02, 0.98)
        truth[0] = 255
        name = f"disc{number}"
        for folder in ("images", "masks", "probabilities"):
            (tmp_path / folder).mkdir(exist_ok=True)
        example = Example(name, tmp_path / "images" / f"{name}.png", tmp_path / "masks" / f"{name}.png")
        write_image(example.image_path, picture)
        write_labels(example.label_path, truth)
        write_probabilities(tmp_path / "probabilities" / f"{name}.npy", np.stack([1 - one, one]))
        made.append(Sample(example, tmp_path / "probabilities" / f"{name}.npy"))
    return made


def small(samples: list[Sample], record: Path, **options: int) -> Result:
    return search(samples, record, **{"coarse": 4, "fine": 8, "folds": 3, **options})  # type: ignore[arg-type]


def score(settings: CrfSettings, samples: list[Sample]) -> float:
    """The mean IU by a plain loop."""
    total = np.zeros((2, 2), np.int64)
    for sample in samples:
        energies = unary_from_softmax(read_probabilities(sample.probabilities))
        labels = settings.labels(sample.example.image(), energies)
        total += metrics.confusion_matrix(sample.example.labels(), labels, 2)
    return metrics.mean_iu(total)


def test_the_best_is_the_best_of_what_was_tried(samples: list[Sample], tmp_path: Path) -> None:
    result = small(samples, tmp_path / "record.jsonl")
    lines = (tmp_path / "record.jsonl").read_text().splitlines()[1:]
    tried = [CrfSettings.from_json(json.loads(line)["settings"]) for line in lines]
    assert len(set(tried)) == len(tried) == result.evaluated == 14
    scores = [score(settings, samples) for settings in tried]
    assert result.mean_iu == max(scores) == scores[tried.index(result.settings)]
    assert result.without_crf == score(CrfSettings(iterations=0), samples)
    assert result.mean_iu > result.without_crf + 0.1
    assert CrfSettings() in tried


def test_held_out_settings_have_not_seen_their_fold(samples: list[Sample], tmp_path: Path) -> None:
    """Three folds of known matrices: the setting that shines on one fold alone must not be chosen for it."""
    good, middling, bad = np.array([[9, 1], [1, 9]]), np.array([[7, 3], [3, 7]]), np.array([[1, 9], [9, 1]])
    record = Record(tmp_path / "record.jsonl", {"seed": 1}, (3, 2, 2))
    record.add(CrfSettings(iterations=1), np.stack([middling, middling, middling]))
    record.add(CrfSettings(iterations=2), np.stack([bad, good, bad]))
    assert record.held_out() == metrics.mean_iu(3 * middling)
    record.add(CrfSettings(iterations=3), np.stack([bad, good, good]))
    # Fold 0 is labelled with the settings that are good on folds 1 and 2.
    assert record.held_out() == metrics.mean_iu(bad + 2 * middling)


def test_a_stopped_search_goes_on(samples: list[Sample], tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    expected = small(samples, whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    stopped.write_bytes(b"".join(lines[:6]) + lines[6][:50])
    assert small(samples, stopped) == expected
    assert stopped.read_bytes() == whole.read_bytes()
    # Nothing is computed twice: without its images the finished search still answers.
    for sample in samples[1:]:
        sample.probabilities.unlink()
    assert small(samples, whole) == expected


def test_processes_do_not_change_the_result(samples: list[Sample], tmp_path: Path) -> None:
    alone = small(samples, tmp_path / "alone.jsonl", coarse=2, fine=2)
    assert small(samples, tmp_path / "two.jsonl", coarse=2, fine=2, processes=2) == alone


def test_errors(samples: list[Sample], tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with pytest.raises(CaffeError, match="6 images cannot be put into 7 folds"):
        small(samples, record, folds=7)
    small(samples, record, coarse=0, fine=0)
    with pytest.raises(CaffeError, match=r"record.jsonl:1: the record is of another search: seed 1, now 2"):
        small(samples, record, seed=2)
    with pytest.raises(CaffeError, match="of another search: images 6, now 5"):
        small(samples[:5], record)
    with open(record, "a") as file:
        file.write('{"settings": {}}\n')
    with pytest.raises(CaffeError, match=r"record.jsonl:4: 'confusion'"):
        small(samples, record)
    write_probabilities(samples[3].probabilities, np.full((2, 5, 5), 0.5))
    with pytest.raises(
        CaffeError, match=r"disc3: the probabilities in .*\(2, 5, 5\), the photograph needs \(2, 27, 32\)"
    ):
        small(samples, tmp_path / "new.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Expecting value"),
        ("[1]", 'no object with a field "settings"'),
        ('{"settings": {"spatial": 3}}', "lists of numbers"),
        ('{"settings": {"spatial": [3, "x"]}}', "spatial needs 1 positive"),
        ('{"settings": {"bilateral": [3, 0, 1]}}', "bilateral needs 2 positive"),
        ('{"settings": {"iterations": 1.5}}', "iterations must be 0 to 65536, not 1.5"),
        ('{"settings": {"gamma": 1}}', "fields bilateral, iterations, spatial"),
    ],
)
def test_settings_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(CaffeError, match=rf"cannot read settings '.*settings.json': .*{message}"):
        CrfSettings.read(tmp_path / "settings.json")


def test_probabilities_come_as_npz_too(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((2, 3, 4)).astype(np.float32)
    np.savez_compressed(tmp_path / "one.npz", planes)
    np.savez(tmp_path / "two.npz", a=planes, b=planes)
    assert np.array_equal(read_probabilities(tmp_path / "one.npz"), planes)
    with pytest.raises(CaffeError, match="2 arrays instead of one"):
        read_probabilities(tmp_path / "two.npz")


def test_probabilities_of_a_model_are_kept(samples: list[Sample], tmp_path: Path) -> None:
    examples, folder, made = [sample.example for sample in samples[:2]], tmp_path / "cache", []

    def model() -> Segmenter:
        made.append(1)
        return Segmenter()

    kept = unaries.cached(examples, folder, "a", model, 1 << 20)
    expected = Segmenter().segment(examples[0].image(), probabilities=True).probabilities
    np.testing.assert_allclose(read_probabilities(kept[0].probabilities), expected, atol=5e-4)
    assert unaries.cached(examples, folder, "a", model, 1 << 20) == kept
    assert made == [1]
    with pytest.raises(CaffeError, match="are of another model"):
        unaries.cached(examples, folder, "b", model, 1 << 20)
    with pytest.raises(CaffeError, match="raise the limit"):
        unaries.cached(examples, tmp_path / "other", "a", model, 1000)
    assert not list((tmp_path / "other").glob("*.npy"))


def test_command(samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    given = ["--probabilities", tmp_path / "probabilities", "--output", tmp_path / "out", "--processes", "1"]
    options = ["--classes", "0,1", "--coarse", "2", "--fine", "3", "--folds", "2"]
    assert main([str(part) for part in ("tune", *folders, *given, *options)]) == 0
    printed = capsys.readouterr().out
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert f"mean IU with it, chosen on the same images: {100 * best['mean_iu']:.2f} %" in printed
    image, probabilities = samples[0].example.image_path, samples[0].probabilities
    refine = ["densecrf", image, probabilities, "-o", tmp_path / "labels.png", "--settings"]
    assert main([str(part) for part in (*refine, tmp_path / "out" / "best.json")]) == 0
    energies = unary_from_softmax(read_probabilities(probabilities))
    expected = CrfSettings.from_json(best["settings"]).labels(samples[0].example.image(), energies)
    assert np.array_equal(read_labels(tmp_path / "labels.png"), expected)
    samples[2].probabilities.unlink()
    assert main([str(part) for part in ("tune", *folders, *given, *options)]) == 1
    assert "no probabilities for 'disc2'" in capsys.readouterr().err
