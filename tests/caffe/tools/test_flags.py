"""Command lines in gflags' spelling, and the frame in which tools run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.commands import caffe

from caffe.errors import CaffeError
from caffe.tools.flags import NoFlags, parse, run_tool


@dataclass
class Flags:
    name: str = ""
    count: int = 3
    rate: float = 0.5
    fast: bool = False


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Flags of the log become environment variables, which end with the test."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


@pytest.mark.parametrize(
    ("line", "words", "expected"),
    [
        ("", [], Flags()),
        ("a -name x b", ["a", "b"], Flags(name="x")),
        ("--name=x --count -4 -rate=1e-3", [], Flags("x", -4, 1e-3)),
        ("-fast a", ["a"], Flags(fast=True)),
        ("-fast -nofast", [], Flags()),
        ("-fast=no", [], Flags()),
        ("-fast=YES -", ["-"], Flags(fast=True)),
        ("-name=a=b", [], Flags(name="a=b")),
        ("-count 5 -- -name x", ["-name", "x"], Flags(count=5)),
        ("--logtostderr=1 -alsologtostderr -nolog_prefix -log_dir /tmp -v=1 a", ["a"], Flags()),
    ],
)
def test_spellings(line: str, words: list[str], expected: Flags) -> None:
    found = Flags()
    assert parse(line.split(), found) == words
    assert found == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-nam x", r"unknown command line flag 'nam' \(flags: -name, -count, -rate, -fast\)"),
        ("-name", "flag '-name' is missing its argument"),
        ("-count x", "illegal value 'x' specified for int flag '-count'"),
        ("-rate=x", "illegal value 'x' specified for float flag '-rate'"),
        ("-fast=maybe", "illegal value 'maybe' specified for bool flag '-fast'"),
        ("-v=x", "illegal value 'x' specified for int flag '-v'"),
    ],
)
def test_wrong_flags(line: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        parse(line.split(), Flags())
    with pytest.raises(CaffeError, match=r"unknown command line flag 'x' \(flags: there are none\)"):
        parse(["-x"], NoFlags())


def test_the_least_level_of_the_log_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert parse(["--minloglevel", "2"], Flags()) == []
    assert os.environ["GLOG_minloglevel"] == "2"  # noqa: SIM112  # glog's spelling
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
    )
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert caffe("time", "-model", "net.prototxt", "-iterations=1", "-minloglevel=2", cwd=tmp_path) == ""


def test_log_files_go_where_the_flag_says(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
    )
    (tmp_path / "log").mkdir()
    log = caffe("time", "-model", "net.prototxt", "-iterations=1", "-log_dir", "log", cwd=tmp_path)
    (file,) = (tmp_path / "log").glob("*.INFO")
    assert file.read_text().endswith(log)
    assert log.count("Network initialization done.") == 1
    error = caffe("time", "-model", "net.prototxt", "-log_dir=none", cwd=tmp_path, status=1)
    assert "-log_dir none: there is no such folder" in error


def test_the_frame_of_a_tool(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help and a wrong number of words print the usage; what the body raises is one message and the exit status."""
    raised: list[BaseException] = []

    def body(words: list[str], _: Flags) -> int:
        if raised:
            raise raised[0]
        return len(words)

    def run(*arguments: str) -> tuple[int, str]:
        return run_tool("how it is used", Flags, (1, 2), body, arguments), capsys.readouterr().err

    assert run("a", "b") == (2, "")
    assert run("-help") == (0, "how it is used\n")
    assert run_tool("", Flags, (1, 2), body, ["--version"]) == 0
    assert re.fullmatch(r"caffe version 1\.0\.0 \(crfasrnn .+\)\n", capsys.readouterr().out)
    assert run() == run("a", "b", "c") == (1, "how it is used\n")
    status, said = run("-count=x", "a")
    assert status == 1
    assert "illegal value 'x'" in said
    raised[:] = [CaffeError("this is wrong")]
    status, said = run("a")
    assert status == 1
    assert re.fullmatch(r"F\d{4} \S+ +\d+ caffe\.cpp:\d+\] this is wrong\n", said)
    raised[:] = [MemoryError()]
    status, said = run("a")
    assert (status, said.endswith("] out of memory\n")) == (1, True)
    raised[:] = [KeyboardInterrupt()]
    assert run("a") == (130, "interrupted\n")
    monkeypatch.setattr("sys.argv", ["tool", "only"])
    raised.clear()
    assert run_tool("", Flags, (1, 1), body, None) == 1
