"""What `make fuzz-calls` calls a clear error, and that every call of its table is one when nothing is bent."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe.errors import CaffeError
from fuzz import calls, wild
from fuzz.callables import Call
from fuzz.callables import calls as table

NAMES = list(table())


@pytest.fixture(scope="session")  # the table writes its files once in a process
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calls")


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_of_the_table_fit(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    call = table()[name]()
    if name in ("set_device", "init_log", "set_random_seed", "set_solver_count", "register_layer"):
        return  # for the whole process, or for a machine with a GPU
    call.function(*call.args, **call.kwargs)


def made(raised: BaseException) -> Callable[[], Call]:
    def function(_: object) -> None:
        raise raised

    return lambda: Call(function, [3])


@pytest.mark.parametrize("error", [CaffeError("no"), ValueError("no"), TypeError("no"), OSError("no"), KeyError("no")])
def test_clear_errors_are_none(error: Exception) -> None:
    calls.perform(made(error), "1")


@pytest.mark.parametrize(
    "error",
    [
        ValueError(""),
        TypeError("__init__(): incompatible function arguments"),
        ZeroDivisionError("no"),
        AttributeError("'int' object has no attribute 'x'"),
        OverflowError("no"),
        RuntimeError("no"),
    ],
)
def test_others_are_findings(error: Exception) -> None:
    with pytest.raises(calls.UnclearError):
        calls.perform(made(error), "1")


def test_memory_may_end_for_what_is_huge_alone() -> None:
    error = MemoryError("no")
    for huge in (np.broadcast_to(0, (1 << 15, 1 << 15)), torch.zeros(1).expand(1 << 30), 10**9, [1e12]):
        assert calls.is_clear(error, [huge])
    for small in (np.zeros(3), torch.zeros(3), 7, [1, "x"], None, wild.Recursive):
        assert not calls.is_clear(error, [small])


def test_calls_are_those_of_the_seed() -> None:
    def changed(seed: int) -> list[str]:
        args: list[Any] = [np.ones((2, 3)), torch.ones(2, 3), 3, 2.5, "name", [1, 2]]
        call = Call(len, args, {"a": True})
        calls.wild(random.Random(seed), call)
        return [type(value).__name__ for value in (*call.args, *call.kwargs.values())]

    first, again = ([changed(seed) for seed in range(200)] for _ in range(2))
    assert first == again
    assert len({tuple(kinds) for kinds in first}) > 30
