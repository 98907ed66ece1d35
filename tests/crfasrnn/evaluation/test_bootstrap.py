"""The paired bootstrap against resampling one by one, and files of confusion matrices."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from support.crfasrnn.datasets import pictures
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.evaluation import metrics
from crfasrnn.evaluation.bootstrap import ImageConfusions, compare, compare_runs

pytestmark = pytest.mark.usefixtures("bounded_memory")


def confusions(seed: int, images: int = 60, better: float = 0.0) -> ImageConfusions:
    matrices = []
    for index in range(images):
        truth, labels = pictures(1000 + index)
        rng = np.random.default_rng([seed, index])
        repaired = np.where((rng.random(truth.shape) < better) & (truth != 255), truth, labels)
        matrices.append(metrics.confusion_matrix(truth, repaired, 4))
    return ImageConfusions(tuple(f"i{index}" for index in range(images)), ("a", "b", "c", "d"), np.array(matrices))


def test_the_interval_is_that_of_resampling_one_by_one() -> None:
    first, second = confusions(0), confusions(1, better=0.05)
    result = compare(first, second, resamples=4000, seed=5)
    assert result.first == metrics.mean_iu(first.matrices.sum(0))
    assert result.second == metrics.mean_iu(second.matrices.sum(0))
    rng = np.random.default_rng(99)
    differences = []
    for _ in range(4000):
        drawn = rng.integers(0, 60, 60)
        differences.append(
            metrics.mean_iu(second.matrices[drawn].sum(0)) - metrics.mean_iu(first.matrices[drawn].sum(0))
        )
    low, high = np.quantile(differences, [0.025, 0.975])
    spread = np.std(differences)
    assert abs(result.low - low) < 0.2 * spread
    assert abs(result.high - high) < 0.2 * spread
    assert result.low < result.difference < result.high


def test_the_seed_fixes_the_interval_and_equal_models_do_not_differ() -> None:
    first, second = confusions(0), confusions(1, better=0.2)
    assert compare(first, second, 600, seed=3) == compare(first, second, 600, seed=3)
    assert compare(first, second, 600, seed=3) != compare(first, second, 600, seed=4)
    same = compare(first, first, 100)
    assert (same.low, same.difference, same.high) == (0, 0, 0)
    assert compare(first, second, 1000).low > 0


def test_classes_that_a_resample_lacks_do_not_count() -> None:
    matrices = np.zeros((2, 2, 2), int)
    matrices[0, 0, 0], matrices[1, 1, 1], matrices[1, 1, 0] = 5, 3, 1
    one = ImageConfusions(("a", "b"), ("x", "y"), matrices)
    perfect = ImageConfusions(("a", "b"), ("x", "y"), np.stack([np.diag([5, 0]), np.diag([0, 4])]))
    result = compare(one, perfect, 500)
    # only image a: both perfect; only b: 0.375 against 1; both: mean of 5/6 and 3/4
    assert result.difference == pytest.approx(1 - (5 / 6 + 3 / 4) / 2)
    assert (result.low, result.high) == pytest.approx((0, 1 - 0.375))


def test_files_of_confusions_come_back_and_mismatches_are_refused(tmp_path: Path) -> None:
    first = confusions(0, images=3)
    first.save(tmp_path / "a.npz")
    back = ImageConfusions.load(tmp_path / "a.npz")
    assert (back.names, back.classes) == (first.names, first.classes)
    np.testing.assert_array_equal(back.matrices, first.matrices)
    with pytest.raises(CaffeError, match=r"images differ \(3 and 2 of them\)"):
        compare(first, confusions(0, images=2))
    with pytest.raises(CaffeError, match="classes differ"):
        compare(first, ImageConfusions(first.names, ("a", "b", "c", "e"), first.matrices))
    with pytest.raises(CaffeError, match="'i0' and 'j0'"):
        compare(first, ImageConfusions(("j0", "i1", "i2"), first.classes, first.matrices))
    np.savez(tmp_path / "b.npz", names=np.array(["x"]))
    with pytest.raises(CaffeError, match="no array 'classes'"):
        ImageConfusions.load(tmp_path / "b.npz")
    np.savez(
        tmp_path / "c.npz", names=np.array(["x"]), classes=np.array([object()]), confusion=np.zeros((1, 1, 1), int)
    )
    with pytest.raises(CaffeError, match=r"c\.npz"):
        ImageConfusions.load(tmp_path / "c.npz")


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(
        stream, names=np.array(["a"]), classes=np.array(["x", "y"]), confusion=np.eye(2, dtype=int)[None]
    )
    return stream.getvalue()


@SETTINGS
@given(damaged([_npz()]))
def test_confusion_files(place: Path, content: bytes) -> None:
    one_error_or_a_result(ImageConfusions.load, place, content)


def test_an_npz_that_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("names", "classes", "confusion"):
            head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({1 << 40},), }}".encode().ljust(117) + b"\n"
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    with pytest.raises(CaffeError, match="promises 8796093022208 bytes"):
        ImageConfusions.load(path)


def test_runs_are_resampled_network_by_network() -> None:
    """Against a plain loop over draws of networks, of trainings of each, and of images."""
    first = [[confusions(10 * n)] for n in range(2)]
    second = [[confusions(10 * n + s, better=0.03 * s + 0.05 * n) for s in range(1, 4)] for n in range(2)]
    result = compare_runs(first, second, resamples=4000, seed=5)
    rng, differences = np.random.default_rng(98), []
    for _ in range(1500):
        drawn, found = rng.integers(0, 60, 60), []
        for network in rng.integers(0, 2, 2):
            before = metrics.mean_iu(first[network][0].matrices[drawn].sum(0))
            for training in rng.integers(0, 3, 3):
                found.append(metrics.mean_iu(second[network][training].matrices[drawn].sum(0)) - before)
        differences.append(np.mean(found))
    low, high = np.quantile(differences, [0.025, 0.975])
    spread = np.std(differences)
    assert abs(result.low - low) < 0.25 * spread
    assert abs(result.high - high) < 0.25 * spread
    assert result.difference == pytest.approx(np.mean(result.differences))
    assert len(result.differences) == 6
    one = compare(first[1][0], second[1][2])
    assert result.differences[5] == pytest.approx(one.difference)
    assert one.differences == (one.difference,)


def test_runs_that_cannot_be_paired_are_refused() -> None:
    a, b = confusions(0, images=3), confusions(1, images=3)
    with pytest.raises(CaffeError, match="2 and 3 trainings cannot be paired"):
        compare_runs([[a, a]], [[b, b, b]])
    with pytest.raises(CaffeError, match="images differ"):
        compare_runs([[a], [confusions(0, images=2)]], [[b], [confusions(0, images=2)]])
