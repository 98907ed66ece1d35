"""Work in pieces that several processes share: each takes what nobody else has taken and what is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crfasrnn.claims import BusyError
from crfasrnn.training.limits import StoppedError

_PAUSE = 5.0  # seconds
_NAMED = 4  # tasks that are waited for, at most


@dataclass(frozen=True)
class Task:
    """A piece of work, known by its name.

    is_done: by what lies on disk. do: raises BusyError where another process is at it. needs: the names of those that must be done
    before; names of none count as done.
    """

    name: str
    is_done: Callable[[], bool]
    do: Callable[[], object]
    needs: tuple[str, ...] = ()


def work_off(
    tasks: Sequence[Task],
    stop: Callable[[], bool],
    show: Callable[[str], object],
    wait: Callable[[], object] = lambda: time.sleep(_PAUSE),
) -> None:
    """Do all that is not done, in order; what others are at is waited for at the end. Raises StoppedError when `stop` says so."""
    waiting = False
    while left := [task for task in tasks if not task.is_done()]:
        if stop():
            raise StoppedError
        names = {task.name for task in left}
        if _do_first([task for task in left if names.isdisjoint(task.needs)], show):
            waiting = False
        else:
            if not waiting:
                more = " ..." if len(names) > _NAMED else ""
                show(f"waiting for other processes: {', '.join(sorted(names)[:_NAMED])}{more}")
            waiting = True
            wait()


def _do_first(ready: Sequence[Task], show: Callable[[str], object]) -> bool:
    """Do the first that nobody else is at; returns whether there was one."""
    for task in ready:
        try:
            task.do()
        except BusyError:
            continue
        return True
    return False
