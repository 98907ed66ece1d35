"""Streams of random numbers for what data layers draw: their states go into snapshots, and come from files of strangers."""

from __future__ import annotations

import random
from typing import Any

import torch

from caffe import mode, parallel
from caffe.errors import CaffeError


def random_stream() -> random.Random:
    """A random stream seeded from Caffe's generator."""
    return random.Random(int(torch.randint(2**62, (), generator=mode.generator())))


def common_stream(phase: int) -> random.Random:
    """A random stream for the order of reading: in phase TRAIN the same in all processes, so that they read different entries."""
    seed = int(torch.randint(2**62, (), generator=mode.generator()))
    return random.Random(parallel.broadcast(seed) if phase == mode.TRAIN else seed)


def set_stream_state(stream: random.Random, state: Any) -> None:
    """Continue a stream from what getstate() gave, lists for tuples as JSON has them. Raises CaffeError if it is no such state."""
    try:
        version, words, gauss = state
        stream.setstate((version, tuple(words), gauss))
    except (TypeError, ValueError, OverflowError) as error:
        raise CaffeError(f"not a state of a random stream: {error}") from error
