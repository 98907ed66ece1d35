"""Every class gets its share of the images that are drawn."""

from __future__ import annotations

import random

import pytest

from caffe.errors import CaffeError
from crfasrnn.datasets.stratified import stratified


def images(count: int) -> dict[str, set[int]]:
    """Images that show background and, the rarer the higher its number, some of eight classes."""
    rng = random.Random(3)
    return {f"i{i:03}": {0, *(label for label in range(1, 9) if rng.random() < 0.6**label)} for i in range(count)}


@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_its_share(seed: int) -> None:
    shown = images(400)
    drawn = stratified(shown, 130, seed)
    assert len(drawn) == 130
    for label in range(9):
        there = sum(label in labels for labels in shown.values())
        assert sum(label in shown[name] for name in drawn) == pytest.approx(there * 130 / 400, abs=max(1, 0.05 * there))


def test_the_seed_alone_decides() -> None:
    shown = images(60)
    backwards = dict(reversed(shown.items()))
    assert stratified(shown, 20, 1) == stratified(backwards, 20, 1) != stratified(shown, 20, 2)


@pytest.mark.parametrize("count", [0, 3, 4])
def test_some_must_be_left(count: int) -> None:
    with pytest.raises(CaffeError, match=rf"{count} of 3 images cannot be held out"):
        stratified({"a": {0}, "b": {0}, "c": {1}}, count, 1)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_shown_once_stays_with_the_larger_part(seed: int) -> None:
    shown = {f"i{i}": {0} for i in range(29)} | {"once": {0, 7}}
    assert "once" not in stratified(shown, 10, seed)
    assert "once" in stratified(shown, 20, seed)
