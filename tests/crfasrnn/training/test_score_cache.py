"""Trainings of the CRF alone keep what the network says beside the data, share it, and never end because that fails."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.training import databases, quiet, same, slim, weights_of
from support.disk import files_end_at

from crfasrnn.figures.curves import read_events
from crfasrnn.training.job import Job
from crfasrnn.training.score_cache import FOLDER, ScoreCache
from crfasrnn.training.train import train

ARRAYS = [np.arange(6, dtype=np.float16).reshape(1, 2, 3), np.ones((4, 1), np.float16)]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Databases of this test's own, beside which there are no scores."""
    return databases(tmp_path)


def entries(data: Path) -> dict[Path, bytes]:
    """The kept scores."""
    return {path: path.read_bytes() for path in (data / FOLDER).glob("*/*.npz")}


def crf_only(data: Path, name: str, fcn: Path, **more: object) -> Job:
    """A training of the CRF alone for longer than the six images last."""
    return slim(data, data.parent / name, "slim-crf-only", weights=fcn, **{"steps": 8, "test_interval": 4, **more})


def losses_of_tests(job: Job) -> list[float]:
    """The losses of a training's tests."""
    return [event["outputs"]["loss"] for event in read_events(job.log) if event["event"] == "test"]


def test_a_second_training_reads_what_the_first_kept_and_ends_in_the_same_bits(own: Path, fcn: Path) -> None:
    lines: list[str] = []
    gentle = {"crf_rate": 0.04}  # so that rounding does not grow
    first, second, without = (crf_only(own, name, fcn, options=gentle) for name in ("first", "second", "without"))
    train(first, show=lines.append)
    assert sum("are kept in" in line and "0 so far, for 9 images" in line for line in lines) == 1
    kept = entries(own)
    assert len(kept) == 9  # six of train, three of val
    train(second, show=lines.append)
    assert any("9 so far, for 9 images" in line for line in lines)
    assert entries(own) == kept
    assert same(weights_of(first.final), weights_of(second.final)) == set(weights_of(first.final))
    train(replace(without, score_cache=False), show=lines.append)
    assert sum("are kept in" in line for line in lines) == 2
    exact, rounded = (weights_of(job.final)["inference1"] for job in (without, first))
    started = (1.5, 3, -1)
    for one, other, start in zip(exact, rounded, started):
        learned = np.abs(one - start * np.eye(3)).max()
        np.testing.assert_allclose(one, other, atol=0.02 * learned + 1e-6)
    losses = [losses_of_tests(job) for job in (first, second, without)]
    assert losses[0] == losses[1]
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-3)


def test_variants_and_seeds_share_and_other_weights_do_not(own: Path, fcn: Path, tmp_path: Path) -> None:
    train(crf_only(own, "first", fcn), show=quiet)
    kept = entries(own)
    train(crf_only(own, "other", fcn, seed=2, options={"iterations": 3, "loss": "robust"}), show=quiet)
    assert entries(own) == kept
    later = slim(own, tmp_path / "fcn", weights=fcn, steps=2)
    train(later, show=quiet)
    assert entries(own) == kept  # a network that learns keeps nothing
    train(crf_only(own, "on-later", later.final), show=quiet)
    assert len(entries(own)) == 2 * len(kept)
    assert len(list((own / FOLDER).iterdir())) == 2


def test_from_random_weights_the_network_learns_and_nothing_is_kept(own: Path, tmp_path: Path) -> None:
    train(slim(own, tmp_path / "scratch", "slim-crf-only", steps=2, test_interval=2), show=quiet)
    assert not (own / FOLDER).exists()


def test_a_damaged_entry_is_computed_again(own: Path, fcn: Path, warnings: list[str]) -> None:
    train(crf_only(own, "first", fcn), show=quiet)
    kept = entries(own)
    for path, content in list(kept.items())[::2]:
        path.write_bytes(content[:-100] if len(content) % 2 else b"nothing")
    again = crf_only(own, "again", fcn)
    train(again, show=quiet)
    assert entries(own).keys() == kept.keys()
    assert sum("Scores are computed again" in line for line in warnings) == 1
    assert same(weights_of(own.parent / "first" / "final.caffemodel"), weights_of(again.final)) == set(
        weights_of(again.final)
    )


def test_a_training_goes_on_where_nothing_can_be_kept(own: Path, fcn: Path, warnings: list[str]) -> None:
    (own / FOLDER).write_text("in the way")
    job = crf_only(own, "out", fcn)
    train(job, show=quiet)
    assert job.final.is_file()
    assert sum("No scores are kept" in line for line in warnings) == 1
    (own / FOLDER).unlink()
    kept = crf_only(own, "kept", fcn)
    train(kept, show=quiet)
    assert same(weights_of(job.final), weights_of(kept.final)) == set(weights_of(job.final))  # rounded all the same


def test_arrays_come_back(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, "network")
    assert cache.get("aa") is None
    cache.put("aa", ARRAYS)
    for other in (cache, ScoreCache(tmp_path, "network")):
        found = other.get("aa")
        assert found is not None
        assert [array.dtype for array in found] == [np.float16, np.float16]
        for array, expected in zip(found, ARRAYS, strict=True):
            np.testing.assert_array_equal(array, expected)
        assert len(other) == 1
    assert ScoreCache(tmp_path, "another").get("aa") is None


def test_one_flipped_bit_is_noticed(tmp_path: Path, warnings: list[str]) -> None:
    cache = ScoreCache(tmp_path, "network")
    cache.put("aa", [np.ones((50, 50), np.float16)])
    (path,) = cache.folder.glob("*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cache.get("aa") is None
    assert len(warnings) == 1


def test_a_limit_a_full_disk_and_the_room_for_others(tmp_path: Path, warnings: list[str]) -> None:
    big = [np.ones(5000, np.float16)]
    small = ScoreCache(tmp_path / "small", "network", limit=25_000)
    for key in ("aa", "bb", "cc", "dd"):
        small.put(key, big)
    assert len(small) == 2
    assert ["reached" in line for line in warnings] == [True]
    assert len(ScoreCache(tmp_path / "small", "another", limit=25_000)) == 0
    ScoreCache(tmp_path / "spared", "network", spared=1 << 60).put("aa", big)
    assert "are free where" in warnings[-1]
    full = ScoreCache(tmp_path / "full", "network")
    with files_end_at(2000):
        full.put("aa", big)
    assert "No more scores are kept" in warnings[-1]
    full.put("bb", big)
    assert len(full) == 0
    assert full.get("aa") is None
    assert not [path for path in full.folder.iterdir() if path.name != "network.json"]


def fill(root: Path, start: int) -> None:
    """Put forty entries, half of which another process puts, too."""
    cache = ScoreCache(root, "network")
    for number in range(start, start + 40):
        cache.put(f"{number:04x}", [np.full((8, 8), number, np.float16)])


def test_two_processes_fill_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=fill, args=(tmp_path, start)) for start in (0, 20)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    cache = ScoreCache(tmp_path, "network")
    assert len(cache) == 60
    for number in range(60):
        found = cache.get(f"{number:04x}")
        assert found is not None
        assert (found[0] == number).all()
