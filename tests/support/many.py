"""Pieces of work that other processes can be sent."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from caffe.errors import CaffeError
from caffe.files import write_text
from crfasrnn.many import cannot_be_written


@dataclass(frozen=True)
class Fussy:
    """Squares numbers, but for some."""

    slow: int | None
    bad: int | None
    worse: int | None
    killed: int | None

    def __call__(self, task: int) -> int:
        if task == self.bad:
            raise CaffeError(f"{task} is bad")
        if task == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if task == self.slow:
            time.sleep(0.3)
        return task * task // (task != self.worse)


@dataclass(frozen=True)
class Writing:
    """Writes a file's name into it, so many seconds later."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, task: Path) -> None:
        time.sleep(self.seconds)
        with cannot_be_written():
            write_text(self.folder / task, task.name)


@dataclass(frozen=True)
class Late:
    """Doubles numbers; it takes a second to arrive anywhere but where it arrives first."""

    mark: Path

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__.update(state)
        try:
            self.mark.mkdir()
        except FileExistsError:
            time.sleep(1)

    def __call__(self, task: int) -> int:
        return 2 * task


class Threads:
    """Tells how many threads torch has."""

    def __call__(self, task: int) -> int:
        return torch.get_num_threads()


class Lost(Threads):
    """Cannot be put together again where it is sent."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)
