"""The flags of the `caffe` command."""

from __future__ import annotations

import pytest

from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.tools.flags import parse


def test_flags_are_spelled_as_they_were_given() -> None:
    """So that the processes of a training get what the first one got."""
    given = Flags(solver="s.prototxt", gpu="0,1", level=2, inference=True)
    assert given.spelled() == ["-solver=s.prototxt", "-inference=True", "-level=2", "-gpu=0,1"]
    again = Flags()
    assert parse(given.spelled(), again) == []
    assert again == given
    assert Flags().spelled() == []


def test_stages_are_the_names_between_commas() -> None:
    assert Flags(stage="a,,b c,").stages == ["a", "b c"]
    assert Flags().stages == []


@pytest.mark.parametrize("iterations", [0, -3])
def test_there_must_be_something_to_run(iterations: int) -> None:
    Flags(iterations=1).check_iterations()
    with pytest.raises(CaffeError, match=f"-iterations must be at least 1, not {iterations}"):
        Flags(iterations=iterations).check_iterations()
