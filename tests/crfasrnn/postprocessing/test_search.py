"""The search for CRF settings: its scores against a plain loop, resuming, processes, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from crfasrnn.evaluation import metrics
from crfasrnn.postprocessing.probabilities import read_probabilities, write_probabilities
from crfasrnn.postprocessing.search import Result, Sample, search
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax


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
