"""What `make fuzz` calls a failure, on readers that have each."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from caffe.errors import CaffeError
from fuzz.guard import run
from fuzz.mutations import mutated, mutated_text
from fuzz.targets import targets


def reader(path: Path) -> object:
    """Does what the file says."""
    content = path.read_text()
    if content == "refuse":
        raise CaffeError("refused")
    if content == "raise":
        raise KeyError("raised")
    if content == "die":
        faulthandler.disable()  # pytest's tells the terminal
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == "allocate":
        return bytearray(3 << 30)
    while content == "compute":
        pass
    return content


@pytest.mark.parametrize(
    ("content", "what", "printed"),
    [
        ("raise", "an exception", "KeyError: 'raised'"),
        ("die", "SIGSEGV", ""),
        ("allocate", "an exception", "MemoryError"),
        ("compute", "more than 1 s of CPU time", ""),
    ],
)
def test_failures_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, what: str, printed: str
) -> None:
    monkeypatch.setattr("fuzz.guard.CPU_SECONDS", 1)
    well, found, log = run(reader, [b"fine", b"refuse", content.encode(), b"fine"], tmp_path / "input")
    assert (well, found) == (2, what)
    assert printed in log


def test_results_and_refusals_are_none(tmp_path: Path) -> None:
    assert run(reader, [b"fine", b"refuse", b"fine"], tmp_path / "input") == (3, "", "")


def test_inputs_are_those_of_the_seed() -> None:
    seeds = [b"\x89PNG\r\n\x1a\n" + bytes(range(100)), b"layer { name: 'a' }"]
    for mutate in (mutated, mutated_text):
        first, again = ([mutate(random.Random(k), seeds) for k in range(100)] for _ in range(2))
        assert first == again
        assert len(set(first)) > 80


def test_every_target_reads_its_own_inputs_or_refuses_them(tmp_path: Path) -> None:
    for name, target in targets().items():
        for seed in target.seeds:
            path = tmp_path / f"{name}{target.suffix}"
            path.write_bytes(seed)
            with suppress(CaffeError):
                target.read(path)
