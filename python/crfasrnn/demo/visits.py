"""What is remembered of visitors: little, of few, for a while."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from crfasrnn.demo.answers import Answer
from crfasrnn.demo.fields import Field


@dataclass
class Visit:
    """A visitor's photograph on one of the tabs, what the CRF starts from and what it has found.

    stem: what downloads are called.
    source: the upload's path.
    key: what nobody else can guess, by which the page asks for them.
    """

    stem: str
    field: Field | None = None
    found: Answer | None = None
    source: str = ""
    key: str = dataclasses.field(default_factory=secrets.token_urlsafe)


AnyVisit = TypeVar("AnyVisit", bound=Visit)


class Visits(Generic[AnyVisit]):
    """The visits of one tab by the browser's session; for several threads.

    most: visits that are remembered; the one that came longest ago gives way.
    seconds: after which one is forgotten.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._visits: OrderedDict[str | None, AnyVisit] = OrderedDict()
        self._turn = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def of(self, session: str | None) -> AnyVisit | None:
        """The session's visit, None if there is none or it is forgotten."""
        return self._visits.get(session)

    def known_as(self, key: str) -> AnyVisit | None:
        """The visit with that key, None if there is none or it is forgotten."""
        with self._turn:
            return next((visit for visit in self._visits.values() if secrets.compare_digest(visit.key, key)), None)

    def begin(self, session: str | None, visit: AnyVisit) -> AnyVisit:
        """Remember a visit in place of the session's last; returns it."""
        with self._turn:
            self._visits.pop(session, None)
            while len(self._visits) >= self._most:
                self._visits.popitem(last=False)
            self._visits[session] = visit
        forgetting = threading.Timer(self._seconds, self.forget, (session, visit))
        forgetting.daemon = True
        forgetting.start()
        return visit

    def forget(self, session: str | None, visit: AnyVisit | None = None) -> None:
        """Forget the session's visit; if one is given, unless another has taken its place."""
        with self._turn:
            if visit is None or self._visits.get(session) is visit:
                self._visits.pop(session, None)
