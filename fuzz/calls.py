"""Call the public functions with arguments that nobody means, each in a guarded child process: `make fuzz-calls CALLS=3000`.

A call is to give a result or one clear error, with at most 5 s of CPU time and 1 GB more memory than before. Whatever else happens
is told, with the numbers that repeat it. The exit status is 1 if anything was found.

    python -m fuzz.calls [--calls N] [--seed N] [--only NUMBER] [name ...]
"""

from __future__ import annotations

import argparse
import linecache
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf.message import Message

import caffe
from caffe.errors import CaffeError
from fuzz.callables import Call, calls, files, segmenter
from fuzz.guard import run
from fuzz.wild import Hostile, anything, bent

TOGETHER = 25  # calls of one child
_CLEAR = (CaffeError, ValueError, TypeError, OSError, LookupError, NotImplementedError)
_HUGE = 1 << 28  # elements of an argument for which memory may end
# What torch says of a tensor that was given for a flag or for an array, and Python of an endless number that numpy stores.
_LIBRARIES = (
    "int too large to convert to float",
    "Boolean value of Tensor",
    "on meta tensors",
    "Can't call numpy() on Tensor that requires grad",
)
_OURS = tuple(str(Path(__file__).resolve().parent.parent / "python" / name) + os.sep for name in ("caffe", "crfasrnn"))


class UnclearError(Exception):
    """A call ended in something that does not tell its caller what to do."""


def wild(rng: random.Random, call: Call) -> list[Any]:
    """Bend, or replace, one or two of a call's arguments; returns what they became."""
    slots: list[tuple[Any, Any]] = [(call.args, k) for k in range(len(call.args))] + [
        (call.kwargs, k) for k in call.kwargs
    ]
    changed = []
    for place, key in rng.sample(slots, min(len(slots), rng.choice([1, 1, 1, 2]))):
        place[key] = bent(rng, place[key]) if rng.random() < 0.6 else anything(rng)
        changed.append(place[key])
    return changed


def _is_huge(value: Any, depth: int = 3) -> bool:
    """Whether memory may end because of what an argument asks for."""
    if isinstance(value, list | tuple | dict) and depth:
        return len(value) < 10**4 and any(
            _is_huge(v, depth - 1) for v in (value.values() if isinstance(value, dict) else value)
        )
    if isinstance(value, torch.Tensor | np.ndarray):
        elements = value.numel() if isinstance(value, torch.Tensor) else value.size
        return elements > _HUGE or (elements == 1 and value.dtype in (np.int64, np.float64, object, torch.int64))
    return isinstance(value, int | float | np.number) and abs(value) > 10**6


def is_clear(error: BaseException, changed: list[Any]) -> bool:
    """Whether an exception tells the caller what is wrong, rather than what a library stumbled over."""
    text = str(error)
    if isinstance(error, MemoryError) or "allocate" in text or "bad_alloc" in text:
        return any(_is_huge(value) for value in changed)
    if "incompatible function arguments" in text or not text:
        return False
    if any(words in text for words in _LIBRARIES):
        return True
    if text == "hostile" or any(isinstance(value, Hostile) for value in changed):
        return isinstance(error, Exception)
    if isinstance(error, AttributeError):  # a name that is none, or another message of protobuf's
        return raised_by_us(error) or any(isinstance(value, Message) for value in changed)
    return isinstance(error, _CLEAR)


def raised_by_us(error: BaseException) -> bool:
    """Whether the statement that raised it is a `raise` of ours, not a call of a library."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return frame.filename.startswith(_OURS) and "raise" in (linecache.getline(frame.filename, frame.lineno or 0))


def perform(make: Callable[[], Call], seed: str, strict: bool = False) -> None:
    """Make the call of that seed. Raises UnclearError, or whatever a call raised that is no exception for callers."""
    rng = random.Random(seed)
    call = make()
    changed = wild(rng, call)
    told = f"{_shown(call.args)} {_shown(call.kwargs)}"
    try:
        call.function(*call.args, **call.kwargs)
    except Exception as error:
        if not is_clear(error, changed) or (strict and not raised_by_us(error)):
            raise UnclearError(f"called with {told}\n{type(error).__name__}: {str(error)[:300]}") from error


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, {type(error).__name__}>"
    return text if len(text) < 600 else text[:600] + "..."


def main() -> int:
    """Make the calls; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=None, help="the same calls again (default: others each time)")
    parser.add_argument(
        "--only", type=int, default=None, metavar="NUMBER", help="this call of a seed alone, in this process"
    )
    parser.add_argument("--strict", action="store_true", help="tell of errors that a library, not we, raised, too")
    parser.add_argument("names", nargs="*", metavar="name")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a child of a process that has threads may wait for one of them
    caffe.init_log(3)
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        files()
        segmenter()
        chosen = [(name, make) for name, make in calls().items() if not options.names or name in options.names]

        def one(number: int) -> None:
            perform(chosen[number % len(chosen)][1], f"{seed} {number}", options.strict)

        if options.only is not None:
            one(options.only)
            return 0
        found: dict[str, int] = {}
        made, waiting = 0, list(range(options.calls))
        while waiting:
            batch, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
            inputs = [b"%d" % number for number in batch]
            well, what, printed = run(lambda path: one(int(path.read_bytes())), inputs, Path(folder) / "input")
            made += well
            if not what:
                continue
            number = batch[well]
            made, waiting = made + 1, batch[well + 1 :] + waiting
            name = chosen[number % len(chosen)][0]
            kind = f"{name}: {what}: {printed.strip().splitlines()[-1][:80] if printed.strip() else ''}"
            found[kind] = found.get(kind, 0) + 1
            if found[kind] == 1:
                print(f"{name}: {what}; again: --seed {seed} --only {number}\n{printed}", flush=True)
        os.chdir("/")
    for kind, count in sorted(found.items()):
        print(f"{count:5} {kind}")
    print(f"seed {seed}: {made} calls of {len(chosen)} functions, {len(found)} kinds of failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
