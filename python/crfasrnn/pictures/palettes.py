"""What the colours of a mask mean: palettes that come with the package, and files of them as labelling programs write them."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from caffe.errors import FileError
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import told_text
from crfasrnn.classes import VOC_CLASSES, VOID, Colour
from crfasrnn.pictures.label_maps import voc_palette

_RED, _GREEN, _BLUE, _COLOUR, _NUMBER, _NAME = "red", "green", "blue", "colour", "number", "name"
_HEADINGS = {
    **dict.fromkeys(("r", "red"), _RED),
    **dict.fromkeys(("g", "green"), _GREEN),
    **dict.fromkeys(("b", "blue"), _BLUE),
    **dict.fromkeys(("color", "colour", "rgb", "hex", "color_rgb"), _COLOUR),
    **dict.fromkeys(("id", "index", "idx", "number", "label", "class_id", "label_id", "train_id", "trainid"), _NUMBER),
    **dict.fromkeys(("name", "class", "class_name", "label_name", "category"), _NAME),
}
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_CVAT = re.compile(r"(?P<name>[^:,]+):(?P<colour>\d{1,3},\d{1,3},\d{1,3}):[^:]*:[^:]*")
_FORM = "'name,red,green,blue' with 0 to 255 each, or 'name,#rrggbb', and in front a number or none"


@dataclass(frozen=True)
class Palette:
    """The label of each colour, RGB; several colours may mean one label.

    title: what messages call it. names: of the labels 0, 1, ...; VOID has none.
    """

    title: str
    names: tuple[str, ...]
    labels: tuple[tuple[Colour, int], ...]

    def colours(self) -> np.ndarray:
        """N x 3 uint8 RGB, in the order of `labels`."""
        return np.array([colour for colour, _ in self.labels], np.uint8)

    def shown(self) -> np.ndarray:
        """256 x 3 uint8 RGB for label maps: the first colour of every label, VOC's for numbers without one."""
        colours = voc_palette()
        for colour, label in reversed(self.labels):
            colours[label] = colour
        return colours


def _built_in(title: str, names: Sequence[str], void: Colour | None = None) -> Palette:
    """Classes in VOC's colours."""
    colours = [tuple(colour) for colour in voc_palette()[: len(names)].tolist()]
    labels = [*zip(colours, range(len(names))), *([(void, VOID)] if void is not None else [])]
    return Palette(title, tuple(names), tuple(labels))


PALETTES = {
    "voc": _built_in("voc", VOC_CLASSES, (224, 224, 192)),
    "binary": Palette("binary", ("background", "object"), (((0, 0, 0), 0), ((255, 255, 255), 1))),
}
"""Those that have a name: VOC's 21 classes with its border as void, and black for the background with white for the object."""


def palette(which: str | os.PathLike[str], void: Sequence[str] = ()) -> Palette:
    """The palette of a name in PALETTES, or of a file.

    The file has a line for each colour, as CSV with `,`, `;` or tabs, or with spaces: `Sky,128,128,128`, `128 128 128 Sky`,
    `Sky #808080`, `0,Sky,128,128,128`, or CVAT's `Sky:128,128,128::`. A first line of headings (name, r, g, b, color, id, ...)
    says what other columns are. Labels are 0, 1, ... in the order in which the names come, several colours of one name being one
    label; or the numbers, of which 255 and -1 are void. Lines that begin with # and no colour are comments.

    void: names (or numbers) of classes of the file whose pixels count nowhere; they are left out of the order.
    Raises CaffeError, naming the line, for any other one, for a colour that means two things, for names in `void` that there are
    not, and for numbers that are not 0 to N - 1.
    """
    if which in PALETTES:
        if void:
            raise FileError(f"palette {which!r} has its void already: what else is void needs a file of colours")
        return PALETTES[str(which)]
    path = os.fspath(which)
    if not os.path.exists(path) and not os.path.splitext(path)[1]:
        raise FileError(f"no palette {path!r}: neither a file of colours nor one of {', '.join(PALETTES)}")
    return _of_lines(list(_lines(path)), path, list(void))


@dataclass(frozen=True)
class _Line:
    place: str
    number: int | None
    name: str
    colour: Colour


def _of_lines(lines: Sequence[_Line], path: str, void: Sequence[str]) -> Palette:
    if not lines:
        raise FileError(f"palette {path!r} names no colour: expected lines of {_FORM}")
    odd = next((line for line in lines if (line.number is None) != (lines[0].number is None)), None)
    if odd is not None:
        raise FileError(
            f"{odd.place}: a number in front of every name or of none, found {odd.number} {odd.name[:200]!r}"
        )
    _check_void(lines, path, void)
    names: dict[int, str] = {}
    labels: dict[Colour, int] = {}
    for line in lines:
        label = VOID if _is_void(line, void) else _label(line, names)
        if labels.setdefault(line.colour, label) != label:
            raise FileError(f"{line.place}: colour {words(line.colour)} has meant another class before")
        if label != VOID and names.setdefault(label, line.name) != line.name:
            raise FileError(f"{line.place}: label {label} is {names[label][:200]!r} and {line.name[:200]!r}")
    gap = next((label for label in range(len(names)) if label not in names), None)
    if gap is not None:
        raise FileError(
            f"palette {path!r}: the numbers of its {len(names)} classes must be 0 to {len(names) - 1}, but {gap} is missing: "
            "leave the numbers out, then they are counted"
        )
    return Palette(path, tuple(names[label] for label in range(len(names))), tuple(labels.items()))


def _is_void(line: _Line, void: Sequence[str]) -> bool:
    return line.number in (VOID, -1) or line.name in void or str(line.number) in void


def _check_void(lines: Sequence[_Line], path: str, void: Sequence[str]) -> None:
    known = {line.name for line in lines} | {str(line.number) for line in lines}
    for name in void:
        if name not in known:
            some = ", ".join(dict.fromkeys(line.name for line in lines[:12]))
            raise FileError(f"palette {path!r} has no class {name!r} that could be void, but {some}")
    if all(_is_void(line, void) for line in lines):
        raise FileError(f"palette {path!r} has no class that is not void")


def _label(line: _Line, names: dict[int, str]) -> int:
    label = line.number
    if label is None:
        label = next((known for known, name in names.items() if name == line.name), len(names))
    if not 0 <= label < VOID:
        raise FileError(f"{line.place}: labels are 0 to {VOID - 1} (and {VOID} or -1 for void), not {label}")
    return label


def _lines(path: str) -> Iterator[_Line]:
    columns: list[str | None] | None = None
    first = True
    for row, text in enumerate(told_text(path, MAX_TEXT, "palette").split("\n"), 1):
        place = f"{path}:{row}"
        text = text.strip()
        if not text or (text.startswith("#") and not _HEX.match(text)):
            continue
        fields, spaced = _fields(text)
        if first and (columns := _columns(fields)) is not None:
            first = False
            continue
        first = False
        found = _by_columns(fields, columns) if columns else _by_form(fields, spaced)
        if found is None:
            raise FileError(f"{place}: expected {_FORM}, found {text[:200]!r}")
        number, name, colour = found
        yield _Line(place, number, name or f"class {row}", colour)


def _fields(text: str) -> tuple[list[str], bool]:
    """The columns of a line, and whether spaces are between them."""
    cvat = _CVAT.fullmatch(text)
    if cvat is not None:
        return [cvat["name"].strip(), *cvat["colour"].split(",")], False
    for mark in (",", ";", "\t"):
        if mark in text:
            return [field.strip() for field in next(csv.reader([text], delimiter=mark, skipinitialspace=True))], False
    return text.split(), True


def _columns(fields: Sequence[str]) -> list[str | None] | None:
    """What the columns are by a line of headings; None for a line that is none."""
    found = [_HEADINGS.get(field.lower().replace(" ", "_")) for field in fields]
    return found if _COLOUR in found or {_RED, _GREEN, _BLUE} <= set(found) else None


def _by_columns(fields: Sequence[str], columns: Sequence[str | None]) -> tuple[int | None, str, Colour] | None:
    at = {what: field for what, field in zip(columns, fields) if what is not None}
    colour = _colour(at[_COLOUR]) if _COLOUR in at else _rgb([at.get(what, "") for what in (_RED, _GREEN, _BLUE)])
    if colour is None or len(fields) < max(place for place, what in enumerate(columns) if what is not None) + 1:
        return None
    number = at.get(_NUMBER, "")
    if _NAME not in at and number and not _is_number(number):
        return None, number, colour  # headed "label", and a name
    if (number and not _is_number(number)) or (_NUMBER in at and not number):
        return None
    return int(number) if number else None, at.get(_NAME, ""), colour


def _by_form(fields: Sequence[str], spaced: bool) -> tuple[int | None, str, Colour] | None:
    """By what the columns hold: a colour at the end or in front, and around it a name, a number and a name, or nothing."""
    whole = [place for place, field in enumerate(fields) if _colour(field) is not None]
    spans = [(place, place + 1) for place in whole[:1]] or [
        (place, place + 3) for place in (len(fields) - 3, 1, 0) if 0 <= place <= len(fields) - 3
    ]
    for start, end in spans:
        colour = _colour(" ".join(fields[start:end]))
        rest = [*fields[:start], *fields[end:]]
        if colour is None or (start == 1 and end < len(fields) and not _is_number(fields[0])):
            continue
        number = int(rest[0]) if rest and _is_number(rest[0]) else None
        name = rest if number is None else rest[1:]
        if (len(name) <= 1 or spaced) and not any(_is_number(part) for part in name[-1:]):
            return number, " ".join(name), colour
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,6}", text) is not None


def _colour(text: str) -> Colour | None:
    """The colour of "#rrggbb", or of "255 128 0" with any brackets and marks between."""
    if _HEX.fullmatch(text):
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    return _rgb(text.strip("()[] ").replace(",", " ").split())


def _rgb(numbers: Sequence[str]) -> Colour | None:
    if len(numbers) != 3 or not all(re.fullmatch(r"\d{1,3}", number) and int(number) < 256 for number in numbers):
        return None
    red, green, blue = map(int, numbers)
    return red, green, blue


def words(colour: Sequence[int]) -> str:
    """A colour as messages say it: "128 64 0 (#804000)"."""
    return f"{' '.join(str(part) for part in colour)} (#{bytes(colour).hex()})"
