"""Visits are forgotten when their time is over, when others need the room, and when the visitor leaves."""

from __future__ import annotations

import time

from crfasrnn.demo.visits import Visit, Visits


def test_each_session_has_its_last_visit() -> None:
    visits: Visits[Visit] = Visits(5, 60)
    first, second, other = Visit("first"), Visit("second"), Visit("other")
    assert visits.begin("a", first) is first
    visits.begin("b", other)
    visits.begin("a", second)
    assert (visits.of("a"), visits.of("b"), visits.of("c")) == (second, other, None)
    assert visits.known_as(second.key) is second
    assert visits.known_as(first.key) is None
    visits.forget("a", first)  # which is gone already
    assert visits.of("a") is second
    visits.forget("a")
    visits.forget("a")
    assert visits.of("a") is None
    assert len(visits) == 1


def test_the_one_that_came_longest_ago_gives_way() -> None:
    visits: Visits[Visit] = Visits(2, 60)
    for session in "abac":
        visits.begin(session, Visit(session))
    assert [visits.of(session) is not None for session in "abc"] == [True, False, True]


def test_they_end() -> None:
    visits: Visits[Visit] = Visits(2, 0.01)
    visits.begin("a", Visit("a"))
    ends = time.monotonic() + 20
    while len(visits) and time.monotonic() < ends:
        time.sleep(0.01)
    assert visits.of("a") is None
