"""Methods that one thread at a time may be in: a net's, which has one set of blobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from caffe.errors import CaffeError

Method = TypeVar("Method", bound=Callable[..., Any])


class OneThread:
    """Base of what one thread at a time may use: see `exclusive`."""

    def __init__(self) -> None:
        # Reentrant: a hook or a Python layer may call the net that runs it.
        self._in_use = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_in_use"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._in_use = threading.RLock()  # nobody uses the copy yet

    def enter(self) -> None:
        """Begin to use it. Raises CaffeError while another thread does: its answers would be mixtures."""
        if not self._in_use.acquire(blocking=False):
            raise CaffeError(
                f"{self!r} is being used by another thread: a Net has one set of blobs. Give each thread a Net of its own "
                "(share_with lets them use the same weights), or let threads take turns by a lock that they hold from filling the "
                "inputs to reading the outputs."
            )

    def leave(self) -> None:
        """End what `enter` began."""
        self._in_use.release()


def exclusive(method: Method) -> Method:
    """The method of a OneThread, made so that a call raises CaffeError while another thread is in one of these methods."""

    @wraps(method)
    def guarded(self: OneThread, *arguments: Any, **named: Any) -> Any:
        self.enter()
        try:
            return method(self, *arguments, **named)
        finally:
            self.leave()

    return cast("Method", guarded)
