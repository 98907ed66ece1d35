"""Command lines in gflags' spelling, and the frame in which Caffe's tools run: log lines, one message per error, exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any, TypeVar

import caffe
from caffe import mode
from caffe.errors import CaffeError
from caffe.logs.ending import ended
from caffe.logs.glog import init_log, signed

logger = signed("caffe.cpp")

_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")

# The log library's flags, which scripts give to every tool.
_LOG_FLAGS: dict[str, type] = {
    **dict.fromkeys(("logtostderr", "alsologtostderr", "colorlogtostderr", "log_prefix"), bool),
    **dict.fromkeys(("minloglevel", "stderrthreshold", "v", "logbuflevel", "logbufsecs", "max_log_size"), int),
    **dict.fromkeys(("log_dir", "vmodule"), str),
}

# Of these, what has an effect: it becomes the environment's GLOG_NAME, for child processes, too. The log is always on stderr.
_LOG_SETTINGS = ("minloglevel", "logtostderr", "log_dir")

FlagsClass = TypeVar("FlagsClass")


def parse(arguments: Sequence[str], flags: Any) -> list[str] | None:
    """Set the fields of `flags`, a dataclass of str, int, float and bool fields, as the command line says; returns the words.

    One or two dashes, "-flag value", "-flag=value"; for a bool "-flag", "-noflag" and "-flag=false"; "--" ends the flags. The
    flags of Caffe's log library, glog, are accepted; -minloglevel, -logtostderr and -log_dir become the environment's
    GLOG_minloglevel and so on.
    Returns None if help is asked for. Raises CaffeError for an unknown flag or a wrong value.
    """
    own: dict[str, type] = {field.name: type(getattr(flags, field.name)) for field in fields(flags)}
    kinds = {**_LOG_FLAGS, **own}

    def keep(name: str, value: Any) -> None:
        if name in own:
            setattr(flags, name, value)
        elif name in _LOG_SETTINGS:
            if name == "log_dir" and value and not (os.path.isdir(value) and os.access(value, os.W_OK)):
                raise CaffeError(f"-log_dir {value}: there is no such folder, or it cannot be written to")
            os.environ[f"GLOG_{name}"] = str(value)

    words: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return words + rest
        if not argument.startswith("-") or argument == "-":
            words.append(argument)
            continue
        name, given, value = argument.lstrip("-").partition("=")
        if name in ("help", "h", "helpshort"):
            return None
        if name.startswith("no") and kinds.get(name[2:]) is bool and not given:
            keep(name[2:], False)
            continue
        if name not in kinds:
            known = ", ".join("-" + kind for kind in own) or "there are none"
            raise CaffeError(f"unknown command line flag '{name}' (flags: {known})")
        if kinds[name] is bool and not given:
            keep(name, True)
            continue
        if not given:
            if not rest:
                raise CaffeError(f"flag '-{name}' is missing its argument")
            value = rest.pop(0)
        keep(name, _value(name, kinds[name], value))
    return words


def _value(name: str, kind: type, value: str) -> Any:
    if kind is bool and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    try:
        if kind is not bool:
            return kind(value)
    except ValueError:
        pass
    raise CaffeError(f"illegal value '{value}' specified for {kind.__name__} flag '-{name}'")


def package_version() -> str:
    """Of the installed package; a checkout that was never installed has none."""
    try:
        return metadata.version("crfasrnn")
    except metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def run_tool(
    usage: str,
    flags_class: Callable[[], FlagsClass],
    words: tuple[int, int],
    body: Callable[[list[str], FlagsClass], int],
    arguments: Sequence[str] | None,
) -> int:
    """Run one of Caffe's tools: parse `arguments` (default: the command line's), start the log, call body(words, flags).

    words: the least and the largest number of positional words; any other number prints `usage`. Returns the exit status: 0, or
    1 with one message on stderr where body raises CaffeError. -version prints Caffe's version and the package's.
    """
    line = sys.argv[1:] if arguments is None else arguments
    if {"-version", "--version"} & set(line):
        print(f"caffe version {caffe.__version__} (crfasrnn {package_version()})")
        return 0

    def run() -> int:
        flags = flags_class()
        given = parse(line, flags)
        if given is None or not words[0] <= len(given) <= words[1]:
            print(usage, file=sys.stderr)
            return 0 if given is None else 1
        init_log()
        with mode.insisting_on_weights():
            return body(given, flags)

    return ended(run, _complain)


def _complain(sentence: str) -> None:
    init_log()
    logger.critical("%s", sentence)


@dataclass
class NoFlags:
    """For tools that take words alone."""
