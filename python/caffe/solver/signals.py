"""What may be asked of a running solver, and signals that ask it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from caffe.errors import CaffeError

# A later one outweighs an earlier one.
CONTINUE, SNAPSHOT, STOP = ACTIONS = ("none", "snapshot", "stop")


class Signals:
    """While active, note SIGINT and SIGHUP; calling it tells (once) what the last one asks for, by the flags' effects."""

    def __init__(self, effects: dict[str, str]) -> None:
        for name, effect in effects.items():
            if effect not in ACTIONS:
                raise CaffeError(
                    f'Invalid signal effect "{effect}" was specified for -{name.lower()}_effect: use stop, snapshot, none.'
                )
        self._effects = {getattr(signal, name): effect for name, effect in effects.items() if hasattr(signal, name)}
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Callable[[], str]:
        for signum, effect in self._effects.items():
            if effect != CONTINUE:
                self._previous[signum] = signal.signal(signum, self._note)
        return self._take

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received = number

    def _take(self) -> str:
        number, self._received = self._received, None
        return CONTINUE if number is None else self._effects[number]
