"""Threads and minutes of a training."""

from __future__ import annotations

import time

import pytest
import torch

from crfasrnn.training.limits import budget, threads


def test_threads_are_set_and_set_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before
    with pytest.raises(KeyError), threads(before + 1):
        {}[0]
    assert torch.get_num_threads() == before


def test_a_budget_is_over_when_its_minutes_are() -> None:
    never, at_once, soon = budget(None), budget(0), budget(0.2 / 60)
    assert not never()
    assert at_once()
    assert not soon()
    time.sleep(0.25)
    assert soon()
