"""Damaged inputs for tests of readers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from caffe.errors import CaffeError

EXAMPLES = int(os.environ.get("CAFFE_FUZZ_EXAMPLES", "200"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES <= 200,
    suppress_health_check=list(HealthCheck),
)
# Bytes that mean something to a reader of protobuf: large varints, lengths beyond the end, deep nesting, NaN.
TELLING = [
    b"\xff" * 9 + b"\x01",
    b"\xff\xff\xff\xff\x07",
    b"\x00",
    b"\x80" * 12,
    b"\x0a\xff\xff\x03",
    b"\x0a" * 200,
    b"\x00\x00\xc0\x7f",
]


@st.composite
def damaged(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """One of the inputs after a few changes: bytes changed, inserted, left out, repeated, cut off, or taken from another."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.integers(0, 6))
        # Headers are small and at the front; bodies are long: half of the changes go to the first 200 bytes.
        reach = min(len(data), 200) if draw(st.booleans()) else len(data)
        at = draw(st.integers(0, reach))
        length = draw(st.integers(1, 40))
        if kind == 0 and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == 1:
            data[at:at] = draw(st.binary(max_size=12))
        elif kind == 2:
            data[at:at] = draw(st.sampled_from(TELLING))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * draw(st.integers(1, 20))
        elif kind == 5:
            del data[at:]
        else:
            other = draw(st.sampled_from(corpus))
            start = draw(st.integers(0, len(other)))
            data[at:] = other[start:]
    return bytes(data)


_TOKENS = re.compile(r'"[^"]*"|[\w.+-]+|[{}:#]|\s+|.', re.DOTALL)
# Numbers at the edges of the fields' types, words of the wrong kind, and what breaks a parser's state.
_WORDS = [
    "0", "1", "-1", "2", "3", "4294967295", "4294967296", "-2147483648", "1e30", "nan", "inf", "true", "TEST", '""', '"data"',
    "'", '"', "{", "}", ":", "#", "<", ">", "[", "]", "\\", "\0", "\xff", "layer", "layers", "type", "dim", "bottom", "top",
    "shape { dim: 0 }", "x" * 300, "{ a " * 150,
]  # fmt: skip


@st.composite
def damaged_text(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """One of the prototxts after a few changes to its words."""
    tokens = _TOKENS.findall(draw(st.sampled_from(corpus)).decode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            tokens[at : at + 1] = [draw(st.sampled_from(_WORDS))]
        elif kind == 1:
            tokens[at:at] = [" ", draw(st.sampled_from(_WORDS)), " "]
        elif kind == 2:
            del tokens[at : at + draw(st.integers(1, 10))]
        elif kind == 3:
            tokens[at:at] = tokens[draw(st.integers(0, len(tokens))) :][: draw(st.integers(1, 60))]
        else:
            other = draw(st.integers(0, len(tokens)))
            if max(at, other) < len(tokens):
                tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens).encode("utf-8", "surrogateescape")


def one_error_or_a_result(read: Callable[[Path], object], path: Path, content: bytes) -> None:
    """A file of that content is read, or refused by one CaffeError that names it."""
    path.write_bytes(content)
    message = path.name
    try:
        read(path)
    except CaffeError as problem:
        message = str(problem)
    assert path.name in message
