"""Streams of random numbers: they follow Caffe's seed, and go on from their states alone."""

from __future__ import annotations

import json
import random

import pytest

from caffe import mode
from caffe.data.streams import common_stream, random_stream, set_stream_state
from caffe.errors import CaffeError


def test_streams_follow_the_seed_and_differ_from_each_other() -> None:
    drawn = []
    for _ in range(2):
        mode.set_random_seed(5)
        drawn.append([random_stream().random(), common_stream(mode.TRAIN).random(), common_stream(mode.TEST).random()])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3


def test_a_stream_goes_on_from_a_state_that_json_has_held() -> None:
    stream = random.Random(1)
    stream.gauss()  # leaves a second number behind
    state = json.loads(json.dumps(stream.getstate()))
    expected = [stream.random(), stream.gauss()]
    other = random.Random(2)
    set_stream_state(other, state)
    assert [other.random(), other.gauss()] == expected


@pytest.mark.parametrize("state", [None, 0, [], [3, [], None], [3, [1] * 624, None], [3, [-1] * 625, None], "abc"])
def test_what_is_no_state_is_refused(state: object) -> None:
    with pytest.raises(CaffeError, match="not a state of a random stream"):
        set_stream_state(random.Random(1), state)
