"""The page of commands: their own help, as the parsers print it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from caffe.commands.main import USAGE
from crfasrnn.commands.main import COMMANDS, command_line

PAGE = "reference/commands"
TOOLS = Path(import_module("caffe.tools").__path__[0])


def helps() -> Iterator[tuple[str, str]]:
    """Names of all commands `crfasrnn ...`, in their order, and what `--help` prints at a width of 92 columns."""
    with patch.dict(os.environ, {"COLUMNS": "92"}):
        yield from _below(command_line(), COMMANDS)


def _below(parser: argparse.ArgumentParser, names: Any) -> Iterator[tuple[str, str]]:
    (choices,) = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name in names:
        command = choices[name]
        if names is COMMANDS:  # whose arguments are there once their modules have been asked for them
            import_module(f"crfasrnn.commands.{name}").add_arguments(command)
        yield command.prog, command.format_help()
        kinds = [action.choices for action in command._actions if isinstance(action, argparse._SubParsersAction)]
        if kinds:
            yield from _below(command, kinds[0])


def tools() -> Iterator[tuple[str, str]]:
    """Names of Caffe's commands and tools, in the order of their names, and the usage that they print."""
    yield "caffe", USAGE
    for path in sorted(TOOLS.glob("*.py")):
        usage = getattr(import_module(f"caffe.tools.{path.stem}"), "USAGE", None)
        if usage:
            yield {"classify": "caffe-classify", "detect": "caffe-detect"}.get(path.stem, path.stem), usage


def markdown() -> str:
    """The sections of the page."""
    parts = ["## crfasrnn\n"]
    parts += [f"### {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in helps()]
    parts.append("## Caffe's commands\n")
    parts += [f"### {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in tools()]
    return "\n".join(parts)


def _read(_: Any, name: str, content: list[str]) -> None:
    if name == PAGE:
        content[0] += "\n" + markdown()


def setup(app: Any) -> dict[str, Any]:
    """Add the sections to the page as it is read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
