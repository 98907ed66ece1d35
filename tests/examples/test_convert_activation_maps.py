"""Pickled activation maps become .npz files, and pickles of anything else nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.warm import python

from crfasrnn.postprocessing.probabilities import read_activation_maps

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "convert_activation_maps.py"


class Hostile:
    """Makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python(), str(PROGRAM), *map(str, arguments)], capture_output=True, text=True)


def test_dictionaries_are_converted(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((2, 4, 5)).astype(np.float32)
    for name, keys in (("a", (7, 14)), ("b", (np.int64(7), np.int64(14)))):
        np.save(tmp_path / f"{name}.npy", dict(zip(keys, maps)), allow_pickle=True)  # type: ignore[arg-type]
    done = convert(tmp_path / "a.npy", tmp_path / "b.npy", "--add", 1)
    assert (done.returncode, done.stderr) == (0, "")
    for name in "ab":
        labels, planes = read_activation_maps(tmp_path / f"{name}.npz", 4.0)
        assert labels.tolist() == [0, 8, 15]
        np.testing.assert_array_equal(planes[1:], maps)


@pytest.mark.parametrize(
    ("content", "words"),
    [("hostile", "it asks for posix.mkdir"), ([1, 2], "no dictionary"), (np.zeros(3), "an array of numbers")],
)
def test_nothing_else_is(tmp_path: Path, content: Any, words: str) -> None:
    held: Any = {1: Hostile(tmp_path / "made")} if isinstance(content, str) else content
    array = held if isinstance(held, np.ndarray) else np.array(held, object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    done = convert(tmp_path / "x.npy")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "x.npz").exists()
