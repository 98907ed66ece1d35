"""Signals ask a running solver for what the flags say."""

from __future__ import annotations

import signal

import pytest

from caffe.errors import CaffeError
from caffe.solver.signals import ACTIONS, CONTINUE, SNAPSHOT, STOP, Signals


def test_a_signal_asks_once_and_the_last_counts() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    with Signals({"SIGINT": STOP, "SIGHUP": SNAPSHOT}) as asked:
        assert asked() == CONTINUE
        signal.raise_signal(signal.SIGINT)
        assert (asked(), asked()) == (STOP, CONTINUE)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        assert (asked(), asked()) == (SNAPSHOT, CONTINUE)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)) == before


def test_without_effect_a_signal_does_what_it_did() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with Signals({"SIGINT": CONTINUE}) as asked:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert asked() == CONTINUE
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)

    def fail() -> None:
        with Signals({"SIGINT": STOP}):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_effects_are_refused() -> None:
    with pytest.raises(CaffeError, match='Invalid signal effect "explode" was specified for -sighup_effect'):
        Signals({"SIGHUP": "explode"})


def test_stopping_outweighs_a_snapshot_and_that_going_on() -> None:
    """Where several processes train, the largest number that one brings counts."""
    assert ACTIONS.index(STOP) > ACTIONS.index(SNAPSHOT) > ACTIONS.index(CONTINUE)
