"""The snapshots of a training: going on from the newest, keeping few, and naming the last one's weights as the result."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from caffe.errors import CaffeError
from caffe.files import atomic_path
from caffe.logs.glog import signed
from caffe.solver.solver import Solver

logger = signed("crfasrnn.py")

PREFIX = "snapshot"  # of their files' names
KEPT = 2


def snapshots(folder: Path) -> list[Path]:
    """The solver states, the newest first."""
    numbered = []
    for path in folder.glob(f"{PREFIX}_iter_*.solverstate"):
        found = re.fullmatch(rf"{PREFIX}_iter_(\d+)", path.stem)
        if found:
            numbered.append((int(found[1]), path))
    return [path for _, path in sorted(numbered, reverse=True)]


def resume(solver: Solver, folder: Path) -> bool:
    """Restore the newest snapshot that is whole; returns whether there was one."""
    for state in snapshots(folder):
        try:
            solver.restore(state)
            return True
        except CaffeError as problem:
            logger.warning("%s is passed over: %s", state, problem)
    return False


def prune(folder: Path, kept: int = KEPT) -> None:
    """Remove all but the newest, with their weights."""
    for state in snapshots(folder)[kept:]:
        for path in (state, state.with_suffix(".caffemodel")):
            with suppress(FileNotFoundError):
                path.unlink()


def finish(solver: Solver, final: Path) -> None:
    """Name the last snapshot's weights as the result, `final`; that snapshot stays, for a training that is lengthened later."""
    last = f"{solver.param.snapshot_prefix}_iter_{solver.iter}.caffemodel"
    with atomic_path(final) as temporary:
        temporary.unlink()
        try:
            os.link(last, temporary)  # weights may be large, and snapshots are never changed
        except OSError:
            shutil.copyfile(last, temporary)
    prune(final.parent, kept=1)


def set_aside(final: Path, step: int) -> Path:
    """Give the result of a training that is to be lengthened the number of its step; returns its new path."""
    kept = final.with_stem(f"{final.stem}_iter_{step}")
    os.replace(final, kept)
    return kept
