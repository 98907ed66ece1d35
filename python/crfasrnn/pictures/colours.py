"""Colours of one's own for classes: the option --colours of the commands that write label maps and figures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace

from caffe.errors import FileError
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import told_text
from crfasrnn.classes import Classes, Colour, unnamed_classes

_LINE = re.compile(r"(?P<which>.+?)\s+(?P<colour>#[0-9a-fA-F]{6}|\d{1,3}\s+\d{1,3}\s+\d{1,3})")


def coloured(classes: Classes, path: str | os.PathLike[str]) -> Classes:
    """The classes with the colours of a file; those that it does not name keep VOC's.

    path: UTF-8 text, a line for each class, `<label or name> <red> <green> <blue>` with 0 to 255 each, or
        `<label or name> #rrggbb`; the label is the number in label maps, 0 for the first class.
    Raises CaffeError, naming the line, for any other one and for a class that there is not.
    """
    lines = told_text(path, MAX_TEXT, "list of colours").split("\n")
    colours: list[Colour | None] = [None] * len(classes)
    for number, line in enumerate(lines, 1):
        if line.strip():
            label, colour = _entry(line.strip(), classes, f"{os.fspath(path)}:{number}")
            colours[label] = colour
    return replace(classes, colours=tuple(colours))


def _entry(line: str, classes: Classes, place: str) -> tuple[int, Colour]:
    found = _LINE.fullmatch(line) if len(line) < 1000 else None
    red, green, blue = (256, 256, 256) if found is None else _rgb(found["colour"])
    if found is None or max(red, green, blue) > 255:
        raise FileError(
            f"{place}: expected '<label or name> <red> <green> <blue>', 0 to 255 each, or '<label or name> #rrggbb', found "
            f"{line[:200]!r}"
        )
    which = found["which"]
    if which in classes.names:
        label = classes.names.index(which)
    elif which.isdecimal() and len(which) <= 3 and int(which) < len(classes):
        label = int(which)
    else:
        named = ", ".join(classes.names[:8]) + (" ..." if len(classes) > 8 else "")
        named = "their names are not known here" if classes == unnamed_classes(len(classes)) else named
        raise FileError(f"{place}: there is no class {which[:200]!r}, but 0 to {len(classes) - 1}: {named}")
    return label, (red, green, blue)


def _rgb(text: str) -> Iterable[int]:
    """The three numbers of "#rrggbb" or "255 128 0"."""
    return bytes.fromhex(text[1:]) if text.startswith("#") else map(int, text.split())
