"""What a search keeps: scores by hand, lines that come back, and files that are not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.disk import files_end_at

from caffe.errors import CaffeError
from crfasrnn.evaluation import metrics
from crfasrnn.postprocessing.record import Record
from crfasrnn.postprocessing.settings import CrfSettings

COUNTS = np.array([[[9, 1], [1, 9]], [[6, 4], [4, 6]]])  # two folds


def test_held_out_settings_have_not_seen_their_fold(tmp_path: Path) -> None:
    """Three folds of known matrices: the setting that shines on one fold alone must not be chosen for it."""
    good, middling, bad = np.array([[9, 1], [1, 9]]), np.array([[7, 3], [3, 7]]), np.array([[1, 9], [9, 1]])
    record = Record(tmp_path / "record.jsonl", {"seed": 1}, (3, 2, 2))
    record.add(CrfSettings(iterations=1), np.stack([middling, middling, middling]))
    record.add(CrfSettings(iterations=2), np.stack([bad, good, bad]))
    assert record.held_out() == metrics.mean_iu(3 * middling)
    record.add(CrfSettings(iterations=3), np.stack([bad, good, good]))
    # Fold 0 is labelled with the settings that are good on folds 1 and 2.
    assert record.held_out() == metrics.mean_iu(bad + 2 * middling)


def test_what_was_added_comes_back_without_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = Record(path, {"seed": 1}, (2, 2, 2))
    record.add(CrfSettings(), COUNTS)
    record.add(CrfSettings(iterations=3), COUNTS[::-1] // 2)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:40])
    again = Record(path, {"seed": 1}, (2, 2, 2))
    assert path.read_bytes() == whole
    assert len(again) == 2
    assert CrfSettings(iterations=3) in again
    assert CrfSettings(iterations=4) not in again
    # 15 of 20 right in each class: IU 15 / 25. Half of each, rounded down: 7, 2, 2, 7 of 9.
    assert again.score(CrfSettings()) == pytest.approx(0.6)
    assert again.score(CrfSettings(iterations=3)) == pytest.approx(7 / 11)
    assert again.best() == record.best() == (CrfSettings(iterations=3), pytest.approx(7 / 11))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a record of a search"),
        ("[1]\n", "record.jsonl:1: not a record of a search"),
        ("nothing\n", "record.jsonl:1: Expecting value"),
        ('{"seed": 2}\n', "record.jsonl:1: the record is of another search: seed 2, now 1"),
        ('{"seed": 1}\n{"settings": {}, "confusion": [[[1]]]}\n', "record.jsonl:2: no confusion matrices of shape"),
        ('{"seed": 1}\n{"settings": {"x": 1}, "confusion": [[[1, 0], [0, 1]]]}\n', "record.jsonl:2: "),
    ],
)
def test_files_that_are_not_its_own_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "record.jsonl").write_text(content)
    with pytest.raises(CaffeError, match=words):
        Record(tmp_path / "record.jsonl", {"seed": 1}, (1, 2, 2))


def test_a_line_that_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = Record(path, {"seed": 1}, (2, 2, 2))
    record.add(CrfSettings(), COUNTS)
    whole = path.read_bytes()
    with (
        files_end_at(len(whole) + 40),
        pytest.raises(CaffeError, match=r"record.jsonl: cannot be written: No space left"),
    ):
        record.add(CrfSettings(iterations=3), COUNTS)
    assert path.read_bytes() == whole
    record.add(CrfSettings(iterations=3), COUNTS)
    assert len(Record(path, {"seed": 1}, (2, 2, 2))) == 2
