"""upgrade_net_proto_text beside what genuine Caffe writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.reference_data import EXTRAS

from caffe.proto import text
from caffe.tools import upgrade_net_proto_text


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_old_nets_are_written_as_caffe_writes_them(
    version: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = EXTRAS / f"{version}_in.prototxt", tmp_path / "new.prototxt"
    assert upgrade_net_proto_text.main([str(source), str(target)]) == 0
    assert target.read_text() == (EXTRAS / f"{version}_upgraded.prototxt").read_text()
    assert f"Wrote upgraded NetParameter text proto to {target}" in capfd.readouterr().err
    assert upgrade_net_proto_text.main([str(target), str(tmp_path / "again.prototxt")]) == 0
    assert "File already in latest proto format" in capfd.readouterr().err
    assert (tmp_path / "again.prototxt").read_text() == target.read_text()


def test_an_upgrade_that_lost_something_exits_with_1(tmp_path: Path) -> None:
    source = tmp_path / "both.prototxt"
    source.write_text('layer { name: "new" } layers { name: "old" type: RELU bottom: "x" top: "y" }')
    assert upgrade_net_proto_text.main([str(source), str(tmp_path / "out.prototxt")]) == 1
    assert [layer.name for layer in text.read_net(tmp_path / "out.prototxt").layer] == ["old"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.prototxt", "out"], "nowhere.prototxt: no such file"),
        (["bad.txt", "out"], "bad.txt:1"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(upgrade_net_proto_text.main, words)
