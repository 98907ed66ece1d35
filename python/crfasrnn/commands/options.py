"""What the commands' parsers share: types of arguments, the options that name a model, and one line for errors."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, NoReturn

from caffe import mode
from caffe.errors import CaffeError
from crfasrnn.classes import VOID

OUT_OF_TIME = 3  # exit status of a command that is gone on with when it is given again


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line by one line that names the help of the command that is meant, exit status 2."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but for what is left over: the command that does not know it says so itself."""
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return found, extra

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """A number of processes, iterations or other things that are few."""
    return _counted(text, "a whole number", 1 << 16)


def pixels(text: str) -> int:
    """A size in pixels."""
    return _counted(text, "a size in pixels", 1 << 16)


def positive_count(text: str) -> int:
    """A number of steps."""
    return _counted(text, "a number of steps", (1 << 31) - 1)


def _counted(text: str, what: str, most: int) -> int:
    number = int(text) if text.isdecimal() and len(text) <= 10 else 0
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}, 1 to {most}")
    return number


def number(text: str) -> float:
    """A finite number."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return found


def positive_number(text: str) -> float:
    """A finite number above 0."""
    if (found := number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return found


def seed(text: str) -> int:
    """What a random generator may start from."""
    found = int(text) if text.isdecimal() and len(text) < 20 else -1
    if not 0 <= found < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed, 0 to {(1 << 63) - 1}")
    return found


def class_count(text: str) -> int:
    """A number of classes."""
    number = int(text) if text.isdecimal() else 0
    if not 2 <= number <= VOID:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of classes, 2 to {VOID}")
    return number


def size(text: str) -> int | str:
    """'native' or a number of pixels."""
    return text if text == "native" else pixels(text)


def sizes(text: str) -> list[int]:
    """Numbers of pixels between commas."""
    return [pixels(part) for part in text.split(",")]


def counts(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [positive(part) for part in text.split(",")]


def class_ids(text: str) -> list[int]:
    """Different class numbers and ranges of them between commas."""
    ids = [number for part in text.split(",") for number in _range(part)]
    if -1 in ids or len(set(ids)) != len(ids):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different class numbers like 0,8,12 or 0-10,12")
    return ids


def _range(text: str) -> range:
    """The class numbers of "8" or "0-10"; -1 alone if it is neither."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    ends = [first, last if dash else first]
    if not all(end.isdecimal() and len(end) <= 3 and int(end) <= VOID for end in ends) or int(ends[0]) > int(ends[1]):
        return range(-1, 0)
    return range(int(ends[0]), int(ends[1]) + 1)


def label(text: str) -> int:
    """A value of a label map."""
    if not (text.isdecimal() and len(text) <= 3 and int(text) <= VOID):
        raise argparse.ArgumentTypeError(f"{text!r} is not a label, 0 to {VOID}")
    return int(text)


# The arguments that name what a command writes.
_WRITTEN = ("output", "target", "json", "per_image", "archive", "write_docs")


def refuse_to_overwrite(arguments: argparse.Namespace) -> None:
    """Raise CaffeError where a file that the command is to write is one that it is to read, under whatever name."""
    given = [
        (name, path)
        for name, value in vars(arguments).items()
        for path in (value if isinstance(value, list) else [value])
        if isinstance(path, Path) and path.is_file()
    ]
    for name, path in given:
        for other, read in given:
            if name in _WRITTEN and other not in _WRITTEN and path.samefile(read):
                raise CaffeError(
                    f"{str(path)!r} would be overwritten, which is to be read: give another name for the result"
                )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that name a model and how images are prepared for it."""
    parser.add_argument(
        "--model",
        default="voc-animals-slim",
        help="a bundled model's name, a network's such as voc21/crfrnn, a training's folder or a deploy prototxt",
    )
    parser.add_argument("--weights", type=Path, help=".caffemodel or .caffemodel.h5 (a bundled model has its own)")
    parser.add_argument(
        "--size", type=size, help="'native', or the largest side in pixels to which larger images are reduced"
    )
    parser.add_argument("--pad", action="store_true", help="pad to a square of --size (500), as the released demo")
    parser.add_argument(
        "--precision", choices=mode.PRECISIONS, default="float32", help="of the net's convolutions (float32)"
    )


def add_exif(parser: argparse._ActionsContainer) -> None:
    """The option that says which way up photographs are read."""
    parser.add_argument(
        "--exif",
        choices=("apply", "ignore"),
        default="apply",
        help="turn photographs as their EXIF data asks, as viewers do, or take them as stored (apply)",
    )


def preparation(arguments: argparse.Namespace) -> dict[str, Any]:
    """How images are prepared, of what add_model adds, as Segmenter takes it."""
    return {"size": arguments.size, "pad": arguments.pad, "precision": arguments.precision}
