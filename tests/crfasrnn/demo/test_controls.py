"""Controls are numbers within their ranges."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from caffe.errors import CaffeError
from crfasrnn.demo.controls import RANGES, Controls


def test_every_control_has_a_range_that_holds_its_default() -> None:
    assert [field.name for field in fields(Controls)] == list(RANGES)
    for name, allowed in RANGES.items():
        assert allowed.least <= getattr(Controls(), name) <= allowed.most


def test_iterations_become_whole_numbers_and_the_rest_floats() -> None:
    controls = Controls(3.0, theta_alpha=7)  # type: ignore[arg-type]  # as sliders give them
    assert controls.iterations == 3
    assert isinstance(controls.iterations, int)
    assert isinstance(controls.theta_alpha, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("iterations", 10**9),
        ("theta_alpha", 0),
        ("theta_beta", -3),
        ("theta_gamma", math.nan),
        ("bilateral_weight", math.inf),
        ("spatial_weight", None),
        ("min_probability", "0"),
    ],
)
def test_what_no_slider_gives_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CaffeError):
        Controls(**{name: value})
