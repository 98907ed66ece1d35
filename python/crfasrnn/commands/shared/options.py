"""What the commands' parsers share: types of arguments, the options that name a model, and one line for errors."""

from __future__ import annotations

import argparse
import math
import textwrap
from pathlib import Path
from typing import Any, NoReturn

from caffe import mode
from caffe.errors import CaffeError
from caffe.files import refuse_to_overwrite
from caffe.inputs.limits import MAX_ITERATIONS, MAX_PIXELS
from crfasrnn.classes import VOID
from crfasrnn.segmentation.models import DEFAULT

MIN_PROBABILITY = 1e-3  # of what the commands' CRFs compute; see benchmarks/README.md for what it changes
OUT_OF_TIME = 3  # exit status of a command that is gone on with when it is given again


class UsageError(CaffeError):
    """Options that do not go together, or one that lacks another: as wrong as an option that does not exist."""


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line by one line that names the help of the command that is meant, exit status 2.

    What it gives has `parser`, the parser of the command that is meant. The example below a help is one line, to be copied.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but for what is left over: the command that does not know it says so itself."""
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        if "parser" not in found:
            found.parser = self
        return found, extra

    def format_help(self) -> str:
        """As argparse does, with the description in lines."""
        self.description = self.description and textwrap.fill(self.description, 100)
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


# ---------------------------------------------------------------------------------------------------- types of arguments


def positive(text: str) -> int:
    """A number of images or other things that are few."""
    return _counted(text, "a whole number", 1, 1 << 16)


def processes(text: str) -> int:
    """A number of processes."""
    return _counted(text, "a number of processes", 1, 1 << 10)


def part(text: str) -> tuple[int, int]:
    """ "I/N", the I-th of N parts."""
    first, _, of = text.partition("/")
    numbers = [int(number) if number.isdecimal() and len(number) < 6 else 0 for number in (first, of)]
    if not 1 <= numbers[0] <= numbers[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part I/N, from 1/N to N/N")
    return numbers[0], numbers[1]


def settings(text: str) -> int:
    """A number of settings to try."""
    return _counted(text, "a number of settings", 0, 1 << 16)


def folds(text: str) -> int:
    """A number of parts to validate across."""
    return _counted(text, "a number of folds", 2, 1 << 16)


def mean_field_iterations(text: str) -> int:
    """A number of iterations of the mean field."""
    return _counted(text, "a number of mean-field iterations", 1, MAX_ITERATIONS)


def mean_field_iterations_or_none(text: str) -> int:
    """The same, or 0 for the labels as they are."""
    return _counted(text, "a number of mean-field iterations", 0, MAX_ITERATIONS)


def pixels(text: str) -> int:
    """A size in pixels."""
    return _counted(text, "a size in pixels", 1, 1 << 16)


def port(text: str) -> int:
    """The number of a port."""
    return _counted(text, "a port", 1, (1 << 16) - 1)


def pixel_count(text: str) -> int:
    """A number of pixels."""
    return _counted(text, "a number of pixels", 0, MAX_PIXELS)


def positive_count(text: str) -> int:
    """A number of steps."""
    return _counted(text, "a number of steps", 1, (1 << 31) - 1)


def resamples(text: str) -> int:
    """A number of resamples."""
    return _counted(text, "a number of resamples", 1, (1 << 31) - 1)


def mebibytes(text: str) -> int:
    """A number of MiB."""
    return _counted(text, "a number of MiB", 1, (1 << 31) - 1)


def class_count(text: str) -> int:
    """A number of classes."""
    return _counted(text, "a number of classes", 2, VOID)


def label(text: str) -> int:
    """A value of a label map."""
    return _counted(text, "a label", 0, VOID)


def gpu(text: str) -> int:
    """The number of a CUDA device."""
    return _counted(text, "the number of a device", 0, 1 << 10)


def seed(text: str) -> int:
    """What a random generator may start from."""
    return _counted(text, "a seed", 0, (1 << 63) - 1)


def _counted(text: str, what: str, least: int, most: int) -> int:
    number = int(text) if text.isdecimal() and len(text) <= len(str(most)) else -1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}, {least} to {most}")
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


def bilateral(text: str) -> tuple[float, float]:
    """Widths of a bilateral kernel, in pixels and grey levels."""
    widths = [positive_number(part) for part in text.split(",")]
    if len(widths) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers ALPHA,BETA")
    return widths[0], widths[1]


def fraction(text: str) -> float:
    """A number between 0 and 1, without both."""
    found = number(text)
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return found


def below_one(text: str) -> float:
    """A number of at least 0 and below 1."""
    found = number(text)
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0 and below 1")
    return found


def size(text: str) -> int | str:
    """'native' or a number of pixels."""
    return text if text == "native" else pixels(text)


def sizes(text: str) -> list[int]:
    """Numbers of pixels between commas."""
    return [pixels(part) for part in text.split(",")]


def native_or_sizes(text: str) -> list[int | None]:
    """Numbers of pixels between commas, None for 'native'."""
    return [None if part == "native" else pixels(part) for part in text.split(",")]


def counts(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [positive(part) for part in text.split(",")]


def mean_field_counts(text: str) -> list[int]:
    """Numbers of mean-field iterations between commas."""
    return [mean_field_iterations(part) for part in text.split(",")]


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


# --------------------------------------------------------------------------------------------- options of several commands

# The arguments that name what a command writes.
_WRITTEN = ("output", "target", "json", "per_image", "archive", "write_docs")


def check_written(arguments: argparse.Namespace) -> None:
    """Raise CaffeError where a file that the command is to write is one that it is to read, under whatever name."""
    given = [
        (name, path)
        for name, value in vars(arguments).items()
        for path in (value if isinstance(value, list) else [value])
        if isinstance(path, Path)
    ]
    refuse_to_overwrite(
        (path for name, path in given if name in _WRITTEN), (path for name, path in given if name not in _WRITTEN)
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that name a model and how images are prepared for it."""
    parser.add_argument(
        "--model",
        default=DEFAULT,
        help="a name that `crfasrnn models` lists, a network's such as voc21/crfrnn, a training's folder or a deploy prototxt "
        f"({DEFAULT})",
    )
    parser.add_argument("--weights", type=Path, help=".caffemodel or .caffemodel.h5 (the model's own)")
    parser.add_argument(
        "--size",
        type=size,
        help="'native', or the largest side in pixels to which larger images are reduced (what the model was made for)",
    )
    parser.add_argument("--pad", action="store_true", help="pad to a square of --size (500), as the released demo")
    parser.add_argument(
        "--precision", choices=mode.PRECISIONS, default="float32", help="of the net's convolutions (float32)"
    )
    add_min_probability(parser)
    add_gpu(parser)


def add_min_probability(parser: argparse._ActionsContainer) -> None:
    """The option that says which classes a CRF leaves out."""
    parser.add_argument(
        "--min-probability",
        type=below_one,
        default=MIN_PROBABILITY,
        metavar="P",
        help="the CRF leaves out classes whose probability is below this at every pixel, which is faster on the CPU; 0 computes "
        f"all ({MIN_PROBABILITY:g})",
    )


def add_colours(parser: argparse._ActionsContainer) -> None:
    """The option that gives classes colours of their own."""
    parser.add_argument(
        "--colours",
        type=Path,
        metavar="FILE",
        help="of the classes in pictures, one a line: label or name, then 0 128 255 or #0080ff (VOC's colours)",
    )


def add_processes(parser: argparse._ActionsContainer) -> None:
    """The option that says how many processes share the images."""
    parser.add_argument(
        "--processes",
        type=processes,
        metavar="N",
        help="to share the images among, with one thread each where there are as many as CPUs; 1: this one, with all threads (as "
        "many as there are CPUs, fewer for few images; with --gpu 1)",
    )


def add_many(parser: argparse.ArgumentParser) -> None:
    """The options of a command that writes a result for every photograph."""
    group = parser.add_argument_group("many photographs")
    group.add_argument(
        "--list",
        dest="lists",
        action="append",
        type=Path,
        metavar="FILE",
        help="names of the photographs that are meant, x for x.jpg, one a line; repeatable (all there are)",
    )
    add_processes(group)
    group.add_argument(
        "--shard",
        type=part,
        metavar="I/N",
        help="the I-th of N parts, 1/N to N/N, for N runs on one or several machines (all)",
    )
    group.add_argument(
        "--again", action="store_true", help="make anew what is there of the same files and options (it is skipped)"
    )


def add_gpu(parser: argparse._ActionsContainer) -> None:
    """The option that says where it is computed."""
    parser.add_argument(
        "--gpu", type=gpu, metavar="ID", help="compute on this CUDA device, 0 is the first (on the CPU)"
    )


def use_gpu(arguments: argparse.Namespace) -> None:
    """Let this process compute where add_gpu's option says. Raises CaffeError for a device that PyTorch does not find."""
    if arguments.gpu is None:
        return
    import torch

    found = torch.cuda.device_count()
    if arguments.gpu >= found:
        raise CaffeError(
            f"--gpu {arguments.gpu}: this PyTorch finds {found or 'no'} CUDA device{'s' * (found != 1)}"
            f"{', 0 is the first' if found else ': leave --gpu out, or install a CUDA build'}"
        )
    mode.set_device(arguments.gpu)
    mode.set_mode_gpu()


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
    names = ("size", "pad", "precision", "min_probability")
    return {name: getattr(arguments, name) for name in names}
