"""The command `crfasrnn`: finds the command that is meant, loads its module and runs it.

A command's module declares its arguments when it is chosen, and imports what computes when it runs, so that help is there at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from caffe import mode
from caffe.logs.ending import ended
from caffe.logs.glog import init_log
from caffe.tools.flags import package_version
from crfasrnn.commands.shared import options

# Each is a module of this folder with `add_arguments(parser)`, which also says what runs: a function from arguments to the status.
COMMANDS = {
    "segment": "label every pixel of photographs",
    "models": "list the models that come with the package or can be had elsewhere",
    "demo": "serve a page on this machine that shows what the CRF does",
    "densecrf": "bring any labels or probabilities in line with the photograph",
    "evaluate": "score a model, or saved labels, on a labelled data set",
    "compare": "is the second model better? paired bootstrap of the mean IU",
    "data": "prepare training data",
    "figures": "draw the paper's figures, and curves of trainings",
    "model": "turn a model's files into other forms",
    "export": "write a model as ONNX, or as a program or package of PyTorch",
    "tune": "find the settings of dense CRF post-processing that suit a model, on labelled images",
    "train": "train a network by a recipe; the same command again goes on after an interruption",
    "reproduce": "make a table of the paper: train what is missing, score, write .md, .json and .png",
}


class _Command(options.Parser):
    """The parser of one command, whose arguments its module declares when the command is chosen."""

    def __init__(self, *, command: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._command = command

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, which calls it for the parser of the command that it found."""
        import_module(f"crfasrnn.commands.{self._command}").add_arguments(self)
        return super().parse_known_args(args, namespace)


class _Version(argparse.Action):
    """Prints the version of the installed package and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"crfasrnn {package_version()}")
        parser.exit()


def command_line() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it gives has `run`, the function of the chosen command."""
    parser = options.Parser(prog="crfasrnn", description="Semantic segmentation with CRF-RNN.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)
    for name, does in COMMANDS.items():
        commands.add_parser(name, help=does, command=name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 after an error (one line on stderr), 130 after Ctrl-C.

    A wrong command line ends the process with status 2.
    """
    # A name of a file need not be text that the terminal can show.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return ended(lambda: _run(argv), lambda sentence: print(f"error: {sentence}", file=sys.stderr))


# As `caffe` spells them.
_CAFFES = {"-help": "--help", "-version": "--version"}


def _run(argv: Sequence[str] | None) -> int:
    line = sys.argv[1:] if argv is None else argv
    arguments = command_line().parse_args([_CAFFES.get(word, word) for word in line])
    init_log(min_level=1)  # warnings, above all: layers that got no weights
    options.check_written(arguments)
    try:
        with mode.insisting_on_weights():
            return int(arguments.run(arguments))
    except options.UsageError as problem:
        parser: options.Parser = arguments.parser
        parser.error(str(problem))


if __name__ == "__main__":
    sys.exit(main())
