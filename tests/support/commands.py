"""The commands `crfasrnn` and `caffe`, run as users run them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from crfasrnn.commands.main import main
from support.warm import python


def crfasrnn(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [python(), "-m", "crfasrnn.commands.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def failure(*arguments: str | Path) -> str:
    """Run a command that must fail with one message, as the last thing it writes; returns that message."""
    done = crfasrnn(*arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    before, separator, message = done.stderr.partition("error: ")
    assert separator
    assert "error" not in before
    # One line; an error in a prototxt also quotes the line it is in, with a mark below.
    assert len(message.splitlines()) == (3 if ".prototxt:" in message else 1), message
    return message


def status(*arguments: object) -> int:
    """Run the command in this process; returns its exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as problem:
        return int(problem.code or 0)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command prints, run in this process; it must succeed, and show no progress bar to who is not a terminal."""
    assert status(*arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that must fail, run in this process: with status 2 if it points to a help, 1 otherwise."""
    ended = status(*arguments)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert ended == (2 if err.endswith(" --help)\n") else 1)
    return err


def caffe(*arguments: str, cwd: Path, status: int = 0) -> str:
    """Run the command `caffe` in a folder, to the end and the exit status that is expected; returns its stderr."""
    command = [python(), "-m", "caffe", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr
