"""Numbers in words."""

from __future__ import annotations

import pytest

from caffe.logs.wording import counted, duration


def test_one_thing_is_not_several() -> None:
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(count, "class", "classes") for count in (1, 21)] == ["1 class", "21 classes"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (125, "2 min"), (3599, "1 h 0 min"), (12000, "3 h 20 min")]
)
def test_a_duration_has_the_units_that_say_enough(seconds: float, words: str) -> None:
    assert duration(seconds) == words
