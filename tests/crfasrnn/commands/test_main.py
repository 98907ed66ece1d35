"""The command `crfasrnn`: what it finds, what it loads for that, and how it ends."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

import pytest
from support.commands import refusal, status

import crfasrnn.commands
from caffe.errors import CaffeError
from crfasrnn.commands import compare
from crfasrnn.commands import main as program
from crfasrnn.commands.shared import options


def test_every_module_of_a_command_is_one() -> None:
    folder = Path(crfasrnn.commands.__file__).parent
    shared = {"__init__", "main", "options"}
    assert {path.stem for path in folder.glob("*.py")} - shared == set(program.COMMANDS)


def test_help_lists_the_commands_and_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    out = capsys.readouterr().out
    for name, does in program.COMMANDS.items():
        assert f"{name} {does}" in " ".join(out.split())
    assert status("-help") == 0  # as caffe spells it
    assert capsys.readouterr().out == out


HELP = """
import sys
from crfasrnn.commands.main import COMMANDS, main
for command in COMMANDS:
    kinds = {"data": "lmdb", "figures": "cases", "model": "export"}
    try: main([command, *([kinds[command]] if command in kinds else []), "--help"])
    except SystemExit: pass
    loaded = {"torch", "cv2", "numpy"} & set(sys.modules)
    print(f"loaded for {command}: {sorted(loaded)}")
"""


def test_the_help_of_every_command_answers_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True, timeout=120)
    assert re.findall(r"^loaded for (\w+): \[\]$", done.stdout, re.MULTILINE) == list(program.COMMANDS)
    assert re.findall(r"^usage: crfasrnn (\w+)", done.stdout, re.MULTILINE) == list(program.COMMANDS)


def test_only_the_chosen_commands_module_is_loaded() -> None:
    asked = (
        "import sys\nfrom crfasrnn.commands.main import COMMANDS, main\n"
        "try: main(['compare', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in COMMANDS if 'crfasrnn.commands.' + name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "['compare']"


def test_the_version_is_that_of_the_installed_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status("--version") == 0
    assert re.fullmatch(r"crfasrnn (\d+\.\d+\S*|of a checkout that is not installed)\n", capsys.readouterr().out)

    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    assert status("-version") == 0
    assert capsys.readouterr().out == "crfasrnn of a checkout that is not installed\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "x.png", "--size", "0"], "'0' is not a size in pixels"),
        (["segment", "x.png", "--size", "big"], "'big' is not a size in pixels"),
        (["segment"], "required: IMAGE (see crfasrnn segment --help)"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "required: COMMAND (see crfasrnn --help)"),
        (["data", "check", "--voc", "v", "--lisp", "l"], "arguments: --lisp l (see crfasrnn data check --help)"),
        (["segment", "x.png", "--gpus", "0"], "arguments: --gpus 0 (see crfasrnn segment --help)"),
        (["evaluate", "--voc", "nowhere", "--classes", "0,cat"], "'0,cat' is not a list of different class numbers"),
        (["data", "lmdb", "--voc", "v", "--list", "l", "--output", "x", "--size", "9,x"], "'x' is not a size"),
    ],
)
def test_wrong_command_lines_give_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (CaffeError("what is wrong"), 1, "error: what is wrong\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "error: x: No such file\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_how_it_ends(
    problem: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(arguments: object) -> int:
        raise problem

    monkeypatch.setattr(compare, "_compare", run)
    assert program.main(["compare", "a.npz", "b.npz"]) == code
    assert capsys.readouterr().err == line


def parsers() -> Iterator[options.Parser]:
    """The parsers of all commands, or of their kinds where they have some."""
    for name in program.COMMANDS:
        parser = options.Parser(prog=f"crfasrnn {name}")
        import_module(f"crfasrnn.commands.{name}").add_arguments(parser)
        kinds = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        yield from kinds[0].choices.values() if kinds else [parser]


@pytest.mark.parametrize("parser", list(parsers()), ids=lambda parser: parser.prog)
def test_every_help_has_an_example_that_is_a_command_line(parser: options.Parser) -> None:
    example = re.findall(r"^example: (crfasrnn .*)$", parser.format_help(), re.MULTILINE)
    assert len(example) == 1
    assert example[0].startswith(parser.prog)
    assert program.command_line().parse_args(example[0].split()[1:]).parser.prog == parser.prog


@pytest.mark.parametrize("parser", list(parsers()), ids=lambda parser: parser.prog)
def test_every_help_says_what_holds_without_an_option(parser: options.Parser) -> None:
    """In brackets at its end, or at the end of a part of it; switches say by what they are that they are off."""
    for action in parser._actions:
        if action.default in (None, False, argparse.SUPPRESS, [None]):
            continue
        default = ",".join(map(str, action.default)) if isinstance(action.default, list) else str(action.default)
        assert re.search(rf"\({re.escape(default)}[:)]", action.help or ""), f"{action.option_strings}: {action.help}"
