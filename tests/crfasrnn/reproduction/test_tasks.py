"""Work that is shared: order, what somebody else is at, and the end of the time."""

from __future__ import annotations

import pytest

from crfasrnn.claims import BusyError
from crfasrnn.reproduction.tasks import Task, work_off
from crfasrnn.training.limits import StoppedError


class Work:
    """Tasks by name with what each needs; done in `order`."""

    def __init__(self, **needs: tuple[str, ...]) -> None:
        self.order: list[str] = []
        self.busy: dict[str, int] = {}  # name -> how often somebody else is still at it
        self.tasks = [
            Task(name, lambda name=name: name in self.order, lambda name=name: self.do(name), of)
            for name, of in needs.items()
        ]  # type: ignore[misc]

    def do(self, name: str) -> None:
        if self.busy.get(name, 0) > 0:
            raise BusyError(name)
        self.order.append(name)


def test_each_after_what_it_needs() -> None:
    work = Work(c=("b",), a=(), b=("a", "something that is no task"))
    work_off(work.tasks, lambda: False, print)
    assert work.order == ["a", "b", "c"]
    work_off(work.tasks, lambda: False, print)
    assert work.order == ["a", "b", "c"]


def test_what_somebody_else_is_at_is_passed_over_and_waited_for() -> None:
    work, shown = Work(a=(), b=("a",), c=()), []
    work.busy["a"] = 2

    def wait() -> None:
        work.busy["a"] -= 1

    work_off(work.tasks, lambda: False, shown.append, wait)
    assert work.order == ["c", "a", "b"]
    assert shown == ["waiting for other processes: a, b"]


def test_it_stops_when_the_time_is_over() -> None:
    work = Work(a=(), b=())
    with pytest.raises(StoppedError):
        work_off(work.tasks, lambda: bool(work.order), print)
    assert work.order == ["a"]
