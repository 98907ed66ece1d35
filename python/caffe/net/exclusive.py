"""Methods that one thread at a time may be in: a net's, which has one set of blobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from caffe.errors import CaffeError

Method = TypeVar("Method", bound=Callable[..., Any])


# What a fork must renew in the child: there the thread that holds a lock is no more, and it would be held for ever.
_renewed: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def renew_after_fork(owner: Any, renew: Callable[[Any], None]) -> None:
    """In every child made by fork from now on, call renew(owner), while it lives."""
    _renewed[owner] = renew


def _renew_all() -> None:
    for owner, renew in list(_renewed.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class OneThread:
    """Base of what one thread at a time may use: see `exclusive`."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        # Reentrant: a hook or a Python layer may call the net that runs it.
        self._in_use = threading.RLock()
        renew_after_fork(self, OneThread._renew)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_in_use"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._renew()  # nobody uses the copy yet

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
