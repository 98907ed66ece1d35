"""Loading batches in a thread ahead of their use, in a queue that holds a fixed number of them."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from caffe.errors import CaffeError

Owner = TypeVar("Owner")
Loaded = TypeVar("Loaded")

# How often, in seconds, a waiting thread looks whether the other side is still there.
_PATIENCE = 0.5


class Prefetcher(Generic[Owner, Loaded]):
    """Calls load(owner) again and again in a thread, at most `depth` calls ahead of `get`, which returns the results in order.

    An exception from load is raised by the `get` that would have returned its result; loading goes on behind it, as it would
    where the caller loads by itself and calls again. The thread holds no reference to the owner while it waits, and ends with
    the owner, with `close` or with the interpreter.
    """

    def __init__(self, owner: Owner, load: Callable[[Owner], Loaded], depth: int) -> None:
        self._results: queue.Queue[tuple[Loaded | None, Exception | None]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_work, args=(weakref.ref(owner), load, self._results, self._stop), name="caffe prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(owner, _end, self._thread, self._stop, self._results)
        self._thread.start()

    def get(self) -> Loaded:
        """The next result, waited for. Raises what load raised, or CaffeError if the thread is gone (closed, or after a fork)."""
        while not self._stop.is_set():
            try:
                result, error = self._results.get(timeout=_PATIENCE)
            except queue.Empty:
                if not self._thread.is_alive():
                    break
                continue
            if error is not None:
                raise error
            return result  # type: ignore[return-value]
        raise CaffeError("the thread that reads the data has ended; a forked process needs nets of its own.")

    def close(self) -> None:
        """End the thread and drop what it loaded ahead."""
        self._finalizer()


def _work(
    owner: weakref.ref[Any], load: Callable[[Any], Any], results: queue.Queue[Any], stop: threading.Event
) -> None:
    while not stop.is_set():
        target = owner()
        if target is None:
            return
        entry: tuple[Any, Exception | None]
        try:
            entry = (load(target), None)
        except Exception as error:
            entry = (None, error)
        del target
        while not stop.is_set():
            try:
                results.put(entry, timeout=_PATIENCE)
                break
            except queue.Full:
                continue
        del entry


def _end(thread: threading.Thread, stop: threading.Event, results: queue.Queue[Any]) -> None:
    stop.set()
    # The owner may have been dropped last by the thread itself, which then ends without being waited for.
    while thread is not threading.current_thread() and thread.is_alive():
        try:
            while True:
                results.get_nowait()
        except queue.Empty:
            thread.join(0.01)
