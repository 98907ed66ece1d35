"""The pages of the documentation, run: their Python and shell blocks in order, in a folder that has what they name.

A page's blocks are fenced, or indented by four spaces, which means shell. Python blocks (```python) share one namespace, as a
reader's session does; shell blocks (indented, ```sh) are run line by line; what a block prints may follow as ```output, where
`...` stands for anything. Blocks in other languages are not run.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from caffe.layers import registry
from support.commands import status
from support.reference_data import REPOSITORY
from support.warm import python

SHELL = ("sh", "bash", "")  # the last: indented
PRINTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A block of a page: its language ("" where it is indented), its text without fence or indentation, its first line."""

    language: str
    text: str
    line: int

    def commands(self) -> list[str]:
        """Of a shell block: its lines; those that end in a backslash are joined with the next."""
        joined = re.sub(r" *\\\n *", " ", self.text)
        return [line for line in joined.splitlines() if line.strip()]


def blocks(text: str) -> list[Block]:
    """All blocks of a page, in order. Indented ones begin after an empty line; there must be none within lists."""
    found: list[Block] = []
    lines, number = text.splitlines(), 0
    while number < len(lines):
        start = number
        fence = re.fullmatch(r"(`{3,})([^`]*)", lines[number])
        number += 1
        if fence:
            end = lines.index(fence[1], number)
            found.append(Block(fence[2].strip(), "\n".join(lines[number:end]) + "\n", number + 1))
            number = end + 1
        elif lines[start].startswith("    ") and (start == 0 or not lines[start - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            body = "\n".join(line[4:] for line in lines[start:number]).rstrip()
            found.append(Block("", body + "\n", start + 1))
    return found


@dataclass(frozen=True)
class Page:
    """A page below the repository's root, with what is not run of it and what is run shorter.

    `omitted` has beginnings of commands and Python blocks, each with its reason; `shortened` text, and what stands for it.
    """

    path: str
    omitted: Mapping[str, str] = field(default_factory=dict)
    shortened: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return (REPOSITORY / self.path).read_text(encoding="utf-8")

    def blocks(self) -> list[Block]:
        return blocks(self.text())

    def idle(self) -> list[str]:
        """Entries of the two tables that mean nothing in the page (any more)."""
        runnable = [block for block in self.blocks() if block.language in (*SHELL, "python")]
        text = "\n".join(_pieces(runnable))
        begins = [start for start in self.omitted if not any(piece.startswith(start) for piece in _pieces(runnable))]
        return begins + [long for long in self.shortened if long not in text]

    def left_out(self, text: str) -> bool:
        return text.startswith(tuple(self.omitted))

    def shorten(self, text: str) -> str:
        for long, short in self.shortened.items():
            text = text.replace(long, short)
        return text

    def run(self, folder: Path) -> int:
        """Run the page in the folder; returns how many blocks ran. Raises AssertionError, or what a Python block raises."""
        assert not self.idle(), f"{self.path} has none of {self.idle()}"
        torch.manual_seed(0)
        namespace: dict[str, Any] = {"__name__": "__main__"}
        printed, count = "", 0
        with _within(folder), patch.dict(registry._classes):  # what a page registers is none of ours afterwards
            for block in self.blocks():
                where = f"{self.path}:{block.line}"
                if block.language == "output":
                    told = doctest.OutputChecker().check_output(block.text, printed, PRINTED)
                    assert told, f"{where}: it printed\n{printed}"
                elif block.language == "python" and not self.left_out(block.text):
                    printed = _python(self.shorten(block.text), where, namespace)
                    count += 1
                elif block.language in SHELL:
                    lines = [self.shorten(line) for line in block.commands() if not self.left_out(line)]
                    printed = _shell(lines, folder, where) if lines else ""
                    count += bool(lines)
        return count


def _pieces(runnable: list[Block]) -> list[str]:
    """Python blocks, and the commands of shell blocks."""
    return [piece for block in runnable for piece in ([block.text] if block.language == "python" else block.commands())]


# --------------------------------------------------------------------------------------------------------------- running it


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _python(text: str, where: str, namespace: dict[str, Any]) -> str:
    """Run a block; returns what it prints. Its lines in tracebacks are counted from the block's first."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(text, where, "exec"), namespace)
    return out.getvalue()


def is_simple(command: str) -> bool:
    """Whether a command is `crfasrnn` with words that no shell would change: it may run in this process, which has torch loaded."""
    return re.match(r"crfasrnn [^|&;<>$`*?~\\(){}\[\]]*$", command) is not None


def _shell(commands: list[str], folder: Path, where: str) -> str:
    """Run commands, each to its end without an error; returns what they print."""
    printed = ""
    for simple, group in groupby(commands, is_simple):
        if simple:
            printed += "".join(map(_own_command, group))
        else:
            printed += _bash("\n".join(group), folder, where)
    return printed


def _own_command(command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        ended = status(*shlex.split(command, comments=True)[1:])
    assert ended == 0, f"{command}: exit status {ended}, {err.getvalue()}"
    return out.getvalue()


def _bash(script: str, folder: Path, where: str) -> str:
    programs = folder / "bin"
    if not programs.exists():
        install(programs)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-eux", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{where}: {done.stderr[-4000:]}"
    assert "Traceback" not in done.stderr, f"{where}: {done.stderr[-4000:]}"
    return done.stdout


def _scripts() -> Iterator[tuple[str, str]]:
    """Names and `module:function` of the commands that pip installs."""
    table = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").split("[project.scripts]\n")[1].split("\n[")[0]
    for line in table.strip().splitlines():
        name, target = (part.strip().strip('"') for part in line.split("="))
        yield name, target


def install(folder: Path) -> None:
    """The commands that pip installs, so as it does, for the interpreter and the modules of the tests; and `python`."""
    folder.mkdir()
    for name, target in _scripts():
        module, function = target.split(":")
        path = folder / name
        path.write_text(f"#!{python()}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    # Not a link: an interpreter that is started by another name does not find its virtual environment.
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {python()} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
