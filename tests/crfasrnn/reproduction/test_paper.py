"""Verdicts on the paper's claims."""

from __future__ import annotations

import pytest

from crfasrnn.reproduction.paper import Claim


@pytest.mark.parametrize(
    ("expected", "low", "high", "verdict"),
    [
        (1, 0.1, 0.2, "reproduced"),
        (1, -0.2, -0.1, "contradicted"),
        (1, -0.1, 0.3, "not decided"),
        (-1, -0.2, -0.1, "reproduced"),
        (-1, 0.1, 0.2, "contradicted"),
        (0, 0.1, 0.2, "more"),
        (0, -0.2, -0.1, "less"),
        (0, 0.0, 0.0, "not decided"),
    ],
)
def test_verdicts(expected: int, low: float, high: float, verdict: str) -> None:
    assert Claim("a", "b", expected=expected).verdict(low, high) == verdict
