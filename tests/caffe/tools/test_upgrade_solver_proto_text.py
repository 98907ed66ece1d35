"""upgrade_solver_proto_text beside what genuine Caffe writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.reference_data import EXTRAS

from caffe.tools import upgrade_solver_proto_text


def test_old_solvers_are_written_as_caffe_writes_them(tmp_path: Path) -> None:
    target = tmp_path / "new.prototxt"
    assert upgrade_solver_proto_text.main([str(EXTRAS / "solver_old.prototxt"), str(target)]) == 0
    assert target.read_text() == (EXTRAS / "solver_upgraded.prototxt").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bad.txt", "out"], "bad.txt:1"),
        (["one"], "Usage: upgrade_solver_proto_text"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(upgrade_solver_proto_text.main, words)
