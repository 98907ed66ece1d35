"""Docstrings are plain text with Google's sections; this makes reStructuredText of them, in which |, * and x_ would mean something.

Napoleon then turns the sections into fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_SECTION = re.compile(r"(Args|Arguments|Attributes|Returns|Yields|Raises|Examples?|Notes?|References|Warns):$")
_ITEM = re.compile(r"\w+(, \w+)*: \S")


def restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText: examples as they are, indented formulas as literal blocks, the rest escaped.

    >>> restructured(["Sum of |x| over `n`:", "", "    out_i = sum_j |x_j|"])
    ['Sum of \\\\|x\\\\| over ``n``:', '', '::', '', '    out_i = sum_j |x_j|']
    """
    result: list[str] = []
    section = False
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        if not first.startswith(" "):
            section = False
        if first.lstrip().startswith(">>> "):
            result += paragraph
        elif first.startswith("    ") and not section:
            result += ["::", "", *paragraph]
        elif _are_items(paragraph):
            result += ["Args:", *("    " + _escaped(line) for line in paragraph)]
            section = True
        else:
            result += map(_escaped, paragraph)
        section = section or any(_SECTION.match(line) for line in paragraph)
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


def _are_items(paragraph: list[str]) -> bool:
    """Whether each line at the margin starts with `name: text`, with no section's title: what some docstrings say of arguments."""
    begins = [line for line in paragraph if not line.startswith(" ")]
    several = len(begins) > 1 or len(paragraph) > len(begins)
    return bool(begins) and several and all(_ITEM.match(line) for line in begins)


def _escaped(line: str) -> str:
    parts = re.split(r"(``[^`]+``|`[^`]+`)", line)
    for number, part in enumerate(parts):
        if number % 2:
            parts[number] = part if part.startswith("``") else f"`{part}`"
        else:
            part = re.sub(r"([\\*|`])", r"\\\1", part)
            parts[number] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)
    return "".join(parts)


def _process(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)


def setup(app: Any) -> dict[str, Any]:
    """Before napoleon (500)."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
