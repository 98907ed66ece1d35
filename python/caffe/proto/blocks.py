"""Where the fields of a prototxt stand: a light scan for what protobuf's own parser does not tell or cannot take."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Set
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    \#[^\n]* | (?P<text> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*') | (?P<word> [A-Za-z_]\w*) | (?P<open> [{<]) | (?P<close> [}>])
    """,
    re.VERBOSE,
)
_VALUE = re.compile(r"(?:\s|\#[^\n]*)* (?: : | [{<] )", re.VERBOSE)
_BEFORE, _AFTER = "[caffe.", "]"


class _Part(NamedTuple):
    """A field's name, a string, or the end of a block ("}"), with the names of the two innermost blocks around it."""

    kind: str
    value: str
    start: int
    depth: int
    blocks: tuple[str, ...]


def _parts(text: str) -> Iterator[_Part]:
    """The parts of a prototxt in order; of text that is no prototxt, what looks like one."""
    blocks: list[str] = []
    field = ""
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if kind == "open":
            blocks.append(field)
        elif kind == "close" and blocks:
            blocks.pop()
        if kind in ("text", "close") or (kind == "word" and _VALUE.match(text, token.end())):
            field = token[0] if kind == "word" else field
            yield _Part(kind, token[0], token.start(), len(blocks), tuple(blocks[-2:]))


def layer_at(text: str, offset: int) -> str:
    """The name of the layer around a place in the text; empty if there is none, or it has no name."""
    inside, name, field = False, "", ""
    for part in _parts(text):
        if part.kind == "word" and part.depth == 0:
            if part.start > offset:
                break
            inside, name = part.value in ("layer", "layers"), ""
        elif inside and part.kind == "text" and part.depth == 1 and field == "name":
            name = part.value[1:-1]
        elif inside and part.kind == "close" and part.depth == 0:
            if part.start > offset:
                break
            inside = False
        field = part.value if part.kind == "word" else field
    return name if inside else ""


class Bracketed:
    """A prototxt in which some fields of layers are written as extensions, as text_format wants them: [caffe.permute_param]."""

    def __init__(self, text: str, names: Set[str], one_layer: bool = False) -> None:
        """names: the fields; one_layer: the text is a layer's, not a net's."""
        self._starts: list[int] = []  # of the brackets in the new text
        self._names: list[str] = []
        pieces, done = [], 0
        for part in _parts(text) if any(name in text for name in names) else ():
            if part.kind != "word" or part.value not in names:
                continue
            if part.blocks[-1:] == ("layer",) or (one_layer and not part.blocks):
                self._starts.append(part.start + len(self._starts) * len(_BEFORE + _AFTER))
                self._names.append(part.value)
                pieces += [text[done : part.start], _BEFORE, part.value, _AFTER]
                done = part.start + len(part.value)
        self.text = "".join([*pieces, text[done:]])

    def original(self, offset: int) -> int:
        """The offset in the text as it was, of one in `self.text`."""
        begun = bisect_right(self._starts, offset)
        if not begun:
            return offset
        start, length = self._starts[begun - 1], len(self._names[begun - 1])
        within = offset - start
        if within >= len(_BEFORE) + length:
            return offset - begun * len(_BEFORE + _AFTER)
        return start - (begun - 1) * len(_BEFORE + _AFTER) + max(0, within - len(_BEFORE))
