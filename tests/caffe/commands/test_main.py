"""The choice among the commands of `caffe`."""

from __future__ import annotations

from pathlib import Path

from support.commands import caffe

from caffe.commands.main import COMMANDS, USAGE, main


def test_usage_without_a_command(tmp_path: Path) -> None:
    assert "usage: caffe <command> <args>" in caffe(cwd=tmp_path)
    assert "-precision float32|bf16 " in USAGE


def test_an_unknown_command_is_one_message(tmp_path: Path) -> None:
    said = caffe("frobnicate", cwd=tmp_path, status=1)
    assert "Unknown action: frobnicate. Available caffe actions:" in said
    assert [line.strip() for line in said.splitlines()[1:]] == list(COMMANDS)


def test_every_command_is_there_and_explained(capsys) -> None:
    for name in COMMANDS:
        assert f"\n  {name} " in USAGE
        # What no run can do ends in the command's own message.
        assert main([name, "-iterations=0", "-gpu=99"]) == 1
        assert "Unknown action" not in capsys.readouterr().err
