"""Bars and lines stand at the mean IU of the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crfasrnn.figures import scores


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures as they were before they were written."""
    found: list[Any] = []
    save = scores.save_figure
    monkeypatch.setattr(scores, "save_figure", lambda figure, path: (found.append(figure), save(figure, path)))
    return found


def test_rows_are_means_with_a_dot_for_each_seed(tmp_path: Path, drawn: list[Any]) -> None:
    scores.draw_rows(tmp_path / "x.png", {"FCN": [0.5, 0.6], "CRF": [0.7, 0.7]})
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([55, 70])
    assert [list(line.get_xdata()) for line in axes.lines] == [pytest.approx([50, 60]), pytest.approx([70, 70])]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["FCN", "CRF"]
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_iterations_begin_with_one_and_training_is_marked(tmp_path: Path, drawn: list[Any]) -> None:
    scores.draw_iterations(tmp_path / "x.png", {"seed 1": [0.5, 0.6, 0.61], "seed 2": [0.4, 0.5]}, 2)
    (axes,) = drawn[0].axes
    first, second, mark = axes.lines
    assert list(first.get_xdata()) == [1, 2, 3]
    assert list(first.get_ydata()) == pytest.approx([50, 60, 61])
    assert list(second.get_ydata()) == pytest.approx([40, 50])
    assert list(mark.get_xdata()) == [2, 2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["seed 1", "seed 2", "as in training"]
