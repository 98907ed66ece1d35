"""Docstrings are plain text with Google's sections; this makes reStructuredText of them, in which |, * and x_ would mean something.

Napoleon then turns the sections into fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

_SECTION = re.compile(r"(Args|Arguments|Attributes|Returns|Yields|Raises|Examples?|Notes?|References|Warns):$")
_VALUES = ("attribute", "data", "property")
_ITEM = re.compile(r"\w+(, \w+)*: \S")

_kept: dict[str, list[str]] = {}


def restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText: examples as they are, indented formulas as literal blocks, the rest escaped."""
    result: list[str] = []
    section = False
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        section = section and first.startswith(" ")
        if first.lstrip().startswith(">>> "):
            result += [*paragraph, ""]
        elif first.startswith("    ") and not section:
            result += ["::", "", *paragraph, ""]
        elif section or any(_SECTION.match(line) for line in paragraph):
            result += [*map(_escaped, paragraph), ""]
            section = True
        else:
            for are_items, part in _parts(paragraph):
                result += ["Args:"] if are_items else []
                result += [("    " if are_items else "") + _escaped(line) for line in part]
                result.append("")
    return result[:-1]


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _parts(paragraph: list[str]) -> list[tuple[bool, list[str]]]:
    """The paragraph in parts: `name: text` of several arguments, as docstrings may say it without a title, and the rest."""
    entries: list[list[str]] = []
    for line in paragraph:
        if line.startswith(" ") and entries:
            entries[-1].append(line)
        else:
            entries.append([line])
    kinds = [_ITEM.match(entry[0]) is not None for entry in entries]
    if sum(kinds) < 2 and not any(kind and len(entry) > 1 for kind, entry in zip(kinds, entries)):
        return [(False, paragraph)]
    grouped = groupby(zip(kinds, entries), key=lambda pair: pair[0])
    return [(kind, [line for _, entry in group for line in entry]) for kind, group in grouped]


def _escaped(line: str) -> str:
    parts = re.split(r"(``[^`]+``|`[^`]+`)", line)
    for number, part in enumerate(parts):
        if number % 2:
            parts[number] = part if part.startswith("``") else f"`{part}`"
        else:
            part = re.sub(r"([\\*|`])", r"\\\1", part)
            parts[number] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)
    return "".join(parts)


def _before(_app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)
    if what in _VALUES:
        _kept[name] = list(lines)


def _after(_app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    if what in _VALUES:  # of which napoleon takes what is before a colon for the type
        lines[:] = _kept.pop(name)


def setup(app: Any) -> dict[str, Any]:
    """Around napoleon (500)."""
    app.connect("autodoc-process-docstring", _before, priority=100)
    app.connect("autodoc-process-docstring", _after, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
