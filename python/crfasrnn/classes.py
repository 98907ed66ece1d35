"""What every part that deals with photographs and labels agrees on: the label that counts nowhere, the mean that is
subtracted from photographs, and the classes of PASCAL VOC and of single models. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe.errors import CaffeError, FileError
from caffe.files import write_text
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import told_text

VOID = 255  # the label of pixels that neither train nor count; classes are below it

MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet's photographs, as VGG subtracts it

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv/monitor",
)

# Background, person and the animals with a coat: what the slim networks and the bundled models tell apart, by VOC's numbers.
VOC_ANIMALS = (0, 8, 10, 12, 13, 15, 17)


Colour = tuple[int, int, int]  # RGB, 0 to 255


@dataclass(frozen=True)
class Classes:
    """The classes of a model in the order of its channels: names, and VOC's numbers, which give the colours.

    colours: of the classes in order, for those that have one of their own; None and what is missing are VOC's.
    """

    names: tuple[str, ...]
    voc_ids: tuple[int, ...]
    colours: tuple[Colour | None, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def backgrounds(self) -> tuple[bool, ...]:
        """Of each class whether it is the background: number 0, unless it is named as something else ("sky")."""
        return tuple(
            number == 0 and name.lower() in ("background", "class 0") for name, number in zip(self.names, self.voc_ids)
        )


def read_classes(path: Path) -> Classes:
    """Read the names of classes, one a line in the order of their labels: `<name>`, or as classes.txt has them `<number> <name>`.

    The first line says which of both all lines are. The number, below 255, is that of a VOC class, whose colour it gives; without
    numbers it is VOC's where all names are VOC's, else the line's from 0. Empty lines at the end do not count.
    Raises CaffeError, naming the line, for any other one, and for a file that is no UTF-8 text or names no class.
    """
    lines = [line.strip() for line in told_text(path, MAX_TEXT, "list of classes").rstrip().split("\n")]
    if not 1 <= len(lines) <= VOID or lines == [""]:
        there = f"{len(lines)} lines" if len(lines) > VOID else "none"
        raise FileError(f"{str(path)!r} must name 1 to {VOID} classes, one a line; it has {there}")
    numbered = _number_and_name(lines[0]) is not None
    found: list[tuple[int, str]] = []
    for place, line in enumerate(lines, 1):
        entry = _number_and_name(line) if numbered else (place - 1, line)
        if entry is None or not line:
            expected = f"'<number below {VOID}> <class name>', as in line 1" if numbered else "the name of a class"
            raise FileError(f"{path}:{place}: expected {expected}, found {line[:200]!r}")
        found.append(entry)
    names = tuple(name for _, name in found)
    return Classes(names, tuple(number for number, _ in found) if numbered else numbers_of(names))


def _number_and_name(line: str) -> tuple[int, str] | None:
    number, *name = line.split(None, 1) or [""]
    return (int(number), name[0]) if name and number.isdecimal() and len(number) < 9 and int(number) < VOID else None


def numbers_of(names: Sequence[str]) -> tuple[int, ...]:
    """VOC's numbers if all names are VOC's, else 0, 1, ..."""
    voc = all(name in VOC_CLASSES for name in names)
    return tuple(VOC_CLASSES.index(name) if voc else label for label, name in enumerate(names))


def write_classes(path: Path, names: Sequence[str]) -> None:
    """Write a classes.txt of classes_text."""
    write_text(path, classes_text(names))


def classes_text(names: Sequence[str]) -> str:
    """The lines of a classes.txt; the number before a name is numbers_of's. Raises CaffeError for more names than labels."""
    if len(names) > VOID:
        raise CaffeError(f"a classes.txt has at most {VOID} classes, not {len(names)}")
    return "".join(f"{number} {name}\n" for number, name in zip(numbers_of(names), names))


def unnamed_classes(count: int) -> Classes:
    """`class 0`, `class 1`, ...: for a net or labels whose classes nobody names; 21 need not be VOC's."""
    return Classes(tuple(f"class {index}" for index in range(count)), tuple(range(count)))
