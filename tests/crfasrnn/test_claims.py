"""What a folder remembers: the same call goes on, another one is told what differs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caffe.errors import CaffeError
from crfasrnn.claims import alone_in, check_claim, claim, compare, digest, remembered

REFUSAL = "{where}: {fact} {there} there, {now} now"


def test_the_same_facts_go_on(tmp_path: Path) -> None:
    note, facts = tmp_path / "note.json", {"scales": (256, 384), "weights": None, "width": 1}
    check_claim(note, facts, REFUSAL)
    assert not note.exists()
    claim(note, facts, REFUSAL)
    content = note.read_bytes()
    claim(note, {"width": 1.0, "scales": [256, 384]}, REFUSAL)
    assert note.read_bytes() == content
    assert remembered(note) == json.loads(content) == {"scales": [256, 384], "weights": None, "width": 1}


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        ({"a": 1, "b": "y"}, "b 'x' there, 'y' now"),
        ({"a": 1}, "b 'x' there, None now"),
        ({"a": 1, "b": "x", "c": [2]}, "c None there, [2] now"),
        ("a digest", "content {'a': 1, 'b': 'x'} there, 'a digest' now"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, now: Any, difference: str) -> None:
    folder = tmp_path / "{braces}"
    folder.mkdir()
    claim(folder / "note.json", {"a": 1, "b": "x"}, REFUSAL)
    for check in (claim, check_claim):
        with pytest.raises(CaffeError) as error:
            check(folder / "note.json", now, REFUSAL)
        assert str(error.value) == f"{str(folder)!r}: {difference}"


@pytest.mark.parametrize("content", ["", "{", "\udcff", "[" * 100000], ids=["empty", "cut", "not UTF-8", "deep"])
def test_a_damaged_note_is_named(tmp_path: Path, content: str) -> None:
    note = tmp_path / "note.json"
    note.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CaffeError, match=r"note\.json: "):
        claim(note, {}, REFUSAL)


def test_one_value_is_compared_as_a_whole() -> None:
    compare("abc", "abc", REFUSAL)
    with pytest.raises(CaffeError, match="content 'abc' there, 'abd' now"):
        compare("abc", "abd", REFUSAL)


def test_a_digest_is_of_all_contents(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(bytes(range(256)) * 5000)  # more than one block
    second.write_bytes(b"x")
    expected = hashlib.sha256(b"(384,)" + first.read_bytes() + b"x").hexdigest()
    assert digest(384, files=[first, second]) == expected
    assert digest(385, files=[first, second]) != expected


HOLDING = """
import sys
from crfasrnn.claims import alone_in
with alone_in(sys.argv[1]):
    print("here", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_processs_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        with (
            pytest.raises(CaffeError, match=rf"^process {other.pid} is at work in .*: wait until it ends, or give"),
            alone_in(tmp_path),
        ):
            pass
        other.kill()
    assert list(tmp_path.iterdir()) != []  # what the killed one left does not matter
    with alone_in(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CaffeError, match=r"none/\.in-use: cannot be written: No such file"),
        alone_in(tmp_path / "none"),
    ):
        pass


def test_a_lock_that_was_removed_meanwhile_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking the file, its owner ends and a third process makes a new one: that must be locked."""
    lock, begun = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not begun:
            begun.append(handle)
            (tmp_path / ".in-use").unlink()
            (tmp_path / ".in-use").touch()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with alone_in(tmp_path), (tmp_path / ".in-use").open() as file, pytest.raises(BlockingIOError):
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
