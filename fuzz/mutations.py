"""Changes of small valid files, at random: bytes for all, words for text, and chunks with true checksums for PNG."""

from __future__ import annotations

import random
import re
import struct
import zlib

# Bytes that mean something to many formats: the largest numbers of each width, zeros, lengths beyond any end, NaN.
_TELLING = [
    b"\xff", b"\xff\xff", b"\xff" * 4, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0" * 4, b"\0" * 8, b"\x80" * 12,
    b"\xff" * 9 + b"\x01", b"\x01\0\0\0", b"\0\0\0\x01", b"\0\0\x01\0", b"\0\x01\0\0", b"\0\0\xc0\x7f", b"\x0a" * 200,
]  # fmt: skip
_WORDS = [
    "0", "-1", "1", "3", "255", "256", "65536", "2147483647", "2147483648", "4294967295", "4294967296", "-2147483648", "1e30",
    "1e400", "nan", "NaN", "inf", "Infinity", "9" * 5000, "true", "null", '""', '"data"', "'", '"', "{", "}", "[", "]", "[" * 3000,
    ":", ",", "#", "<", ">", "\\", "\0", "\ud800", "é", "x" * 3000, "{ a " * 500, "../../etc", "/dev/zero", "http://127.0.0.1:9/a",
]  # fmt: skip
_TOKENS = re.compile(r'"[^"\n]*"|[\w.+-]+|[{}\[\]:,#]|\s+|.', re.DOTALL)


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of the files after one to six changes."""
    seed = rng.choice(seeds)
    data = bytearray(seed)
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        _change(rng, data, seeds)
    if seed.startswith(b"\x89PNG") and rng.random() < 0.7:
        return _with_checksums(bytes(data))
    return bytes(data)


def _change(rng: random.Random, data: bytearray, seeds: list[bytes]) -> None:
    # Headers are small and at the front: half of the changes go there.
    at = rng.randrange(min(len(data), rng.choice([200, len(data)])) + 1)
    kind = rng.randrange(9)
    if kind <= 1 and at < len(data):
        data[at] = rng.randrange(256) if kind else data[at] ^ 1 << rng.randrange(8)
    elif kind <= 3:
        new = rng.choice(_TELLING)
        data[at : at + len(new)] = new
    elif kind == 4:
        data[at:at] = rng.choice([rng.randbytes(rng.randrange(1, 12)), *_TELLING])
    elif kind == 5:
        del data[at : at + rng.randrange(1, 40)]
    elif kind == 6:
        data[at:at] = data[at : at + rng.randrange(1, 200)] * rng.choice([1, 2, 20, 500])
    elif kind == 7:
        del data[at:]
    else:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at:] = other[start:]


def mutated_text(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of the texts after a few changes to its words, or to its bytes."""
    if rng.random() < 0.3:
        return mutated(rng, seeds)
    tokens = _TOKENS.findall(rng.choice(seeds).decode("utf-8", "replace"))
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(tokens) + 1)
        kind = rng.randrange(5)
        if kind <= 1:
            tokens[at : at + 1] = [rng.choice(_WORDS)]
        elif kind == 2:
            tokens[at:at] = [" ", rng.choice(_WORDS), " "]
        elif kind == 3:
            del tokens[at : at + rng.randrange(1, 10)]
        else:
            tokens[at:at] = tokens[rng.randrange(len(tokens) + 1) :][: rng.randrange(1, 60)] * rng.choice([1, 2, 100])
    return "".join(tokens).encode("utf-8", "surrogatepass")


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks, as far as there are any, have the checksums of what they hold now."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        end = at + 8 + length
        if end + 4 > len(data):
            break
        parts += [data[at:end], struct.pack(">I", zlib.crc32(data[at + 4 : end]))]
        at = end + 4
    return b"".join([*parts, data[at:]])
