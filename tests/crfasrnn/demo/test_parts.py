"""The pieces of HTML, and what is shown when something goes wrong; the rest is tested in the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caffe.errors import CaffeError
from crfasrnn.demo.fields import Deadline


@pytest.fixture(scope="module")
def parts() -> Any:
    """The module; importing Gradio takes seconds, which those who run other tests need not wait."""
    pytest.importorskip("gradio", reason="THE DEMO PAGE IS NOT TESTED: no Gradio here")
    from crfasrnn.demo import parts

    return parts


def test_errors_are_sentences_in_which_nothing_is_html(parts: Any) -> None:
    told = parts.error_html(CaffeError("cannot read image '<script>.png': it is empty"))
    assert "Cannot read image &#x27;&lt;script&gt;.png&#x27;: it is empty.</div>" in told
    assert 'role="alert"' in told


def test_what_fails_half_way_is_told_after_what_was_shown(parts: Any) -> None:
    def steps() -> Iterator[list[Any]]:
        yield ["shown"]
        raise CaffeError("too slow")

    shown, told = parts.guarded(steps, keep=True)
    assert shown == ["shown"]
    assert "Too slow." in told[0].value


def test_a_control_without_a_photograph_asks_for_one(parts: Any) -> None:
    (told,) = parts.moved(None, [], Deadline(1))
    assert "Choose a photograph" in told[0].value


def test_the_strip_says_after_how_many_iterations(parts: Any) -> None:
    told = parts.strip_html(
        [
            {"iterations": 1, "picture": "data:1", "changed": 1.5},
            {"iterations": 2, "picture": "data:2", "changed": None},
        ]
    )
    assert "Q after 1 and 2 iterations" in told
    assert "<b>1</b> · 1.5 % relabelled<" in told
    assert "<b>2</b><" in told


def test_learned_weights_are_multiplied(parts: Any) -> None:
    assert {entry.label for entry in parts.learned_weights().values()} == {
        "Weight of colour, × learned",
        "Weight of smoothness, × learned",
    }
