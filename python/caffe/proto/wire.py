"""Protobuf's wire format, just enough of it to take arrays out of a model file and put them in without a copy per number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_AXES = 32  # Caffe's own limit
# Far above any real net; a hostile file of a billion empty fields must not keep us busy for long.
_MAX_FIELDS = 500_000
_STEP = 1 << 22  # values copied at a time

_DATA, _DIFF, _SHAPE, _DOUBLE_DATA = 5, 6, 7, 8  # of BlobProto; 1 to 4 are num, channels, height, width


class DamagedError(ValueError):
    """Bytes that are no message of the expected kind; the message says at which byte and why."""


class Walker:
    """Steps over the fields of messages within one buffer; every position is checked against the enclosing message's end.

    `release` is called with a position up to which arrays have been copied out of the buffer.
    """

    def __init__(self, buffer: memoryview, release: Callable[[int], None] = lambda position: None) -> None:
        self.buffer = buffer
        self._release = release
        self._fields_left = _MAX_FIELDS

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """The unsigned number at `position` and the position after it."""
        value = shift = 0
        while True:
            if position >= end:
                raise DamagedError(f"it ends in the middle of a number at byte {position}")
            byte = self.buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift >= 70:
                raise DamagedError(f"number of more than 10 bytes at byte {position}")

    def field(self, position: int, end: int) -> tuple[int, int, int, int]:
        """(number, wire type, start, end of the value) of the field at `position`; the next field is at the value's end."""
        self._fields_left -= 1
        if self._fields_left < 0:
            raise DamagedError("it has too many fields")
        tag, start = self.varint(position, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise DamagedError(f"field number {number} at byte {position}")
        if wire == VARINT:
            stop = self.varint(start, end)[1]
        elif wire == BYTES:
            length, start = self.varint(start, end)
            stop = start + length
        elif wire in (FIXED32, FIXED64):
            stop = start + (4 if wire == FIXED32 else 8)
        else:
            raise DamagedError(f"unknown wire type {wire} at byte {position}")
        if stop > end:
            raise DamagedError(
                f"field {number} at byte {position} has {stop - start} bytes, but only {end - start} are left"
            )
        return number, wire, start, stop

    def text(self, start: int, end: int) -> str:
        return bytes(self.buffer[start:end]).decode(errors="replace")

    def signed(self, position: int, end: int) -> int:
        """An int32 or int64 field's value."""
        value = self.varint(position, end)[0]
        return value - (1 << 64) if value >= 1 << 63 else value

    def blob(self, start: int, end: int) -> np.ndarray:
        """A BlobProto's data: float32, own memory. Old files' num, channels, height, width give four axes, as in Caffe.

        Raises DamagedError for a shape that is impossible or does not fit the number of values.
        """
        legacy: dict[int, int] = {}
        shape: list[int] = []
        floats: list[tuple[int, np.ndarray]] = []  # position in the buffer and values, piece by piece
        doubles: list[tuple[int, np.ndarray]] = []
        position = start
        while position < end:
            number, wire, begin, stop = self.field(position, end)
            if wire == VARINT and 1 <= number <= 4:
                legacy[number] = self.signed(begin, stop)
            elif wire == BYTES and number == _SHAPE:
                shape += self._dims(begin, stop)
                if len(shape) > MAX_AXES:
                    raise DamagedError(f"a shape has more than {MAX_AXES} dimensions")
            elif number == _DATA and wire in (BYTES, FIXED32):
                stop = self._values(floats, "<f4", position, begin, stop, end, packed=wire == BYTES)
            elif number == _DOUBLE_DATA and wire in (BYTES, FIXED64):
                stop = self._values(doubles, "<f8", position, begin, stop, end, packed=wire == BYTES)
            position = stop
        if legacy:
            shape = [legacy.get(number, 0) for number in range(1, 5)]
        chunks = doubles or floats
        values = _allocate(shape, sum(chunk.size for _, chunk in chunks))
        self._copy(chunks, values.reshape(-1))
        return values

    def _copy(self, chunks: list[tuple[int, np.ndarray]], values: np.ndarray) -> None:
        """Fill `values` in steps: joining the chunks, or reading all of one large blob's pages, would need the memory twice."""
        filled = 0
        with np.errstate(over="ignore"):
            for begin, chunk in chunks:
                for start in range(0, chunk.size, _STEP):
                    piece = chunk[start : start + _STEP]
                    values[filled : filled + piece.size] = piece
                    filled += piece.size
                    self._release(begin + start * chunk.itemsize + piece.nbytes)

    def _dims(self, start: int, end: int) -> list[int]:
        dims: list[int] = []
        position = start
        while position < end:
            number, wire, begin, stop = self.field(position, end)
            if number == 1 and wire in (VARINT, BYTES):
                while begin < stop and len(dims) <= MAX_AXES:
                    dims.append(self.signed(begin, stop))
                    begin = self.varint(begin, stop)[1]
            position = stop
            if len(dims) > MAX_AXES:
                break
        return dims

    def _values(
        self,
        chunks: list[tuple[int, np.ndarray]],
        dtype: str,
        tag: int,
        begin: int,
        stop: int,
        end: int,
        *,
        packed: bool,
    ) -> int:
        """Append the floats of a field, or of a whole run of single ones, to `chunks`; returns the position after them."""
        size = np.dtype(dtype).itemsize
        if packed:
            if (stop - begin) % size:
                raise DamagedError(
                    f"an array at byte {begin} has {stop - begin} bytes, which is not a multiple of {size}"
                )
            chunks.append((begin, np.frombuffer(self.buffer[begin:stop], dtype)))
            return stop
        if begin - tag != 1:
            chunks.append((begin, np.frombuffer(self.buffer[begin:stop], dtype)))
            return stop
        # One tag byte before every number: view the rest of the message as such pairs and take as many as carry this tag.
        pairs = np.frombuffer(
            self.buffer[tag:end], np.dtype([("tag", "u1"), ("value", dtype)]), count=(end - tag) // (size + 1)
        )
        count = run_length(pairs["tag"], self.buffer[tag])
        chunks.append((begin, pairs["value"][:count].copy()))
        return tag + count * (size + 1)


def run_length(tags: np.ndarray, tag: int) -> int:
    """How many of the first ones are `tag`: in windows that grow, so that short runs in a long message stay cheap."""
    count, window = 0, 64
    while count < len(tags):
        other = tags[count : count + window] != tag
        if other.any():
            return count + int(other.argmax())
        count, window = count + len(other), 2 * window
    return count


def _allocate(shape: list[int], held: int) -> np.ndarray:
    """Room for the values, once it is sure that the file holds as many as the shape says."""
    dims = " ".join(map(str, shape))
    if any(dim < 0 for dim in shape):
        raise DamagedError(f"its shape {dims} has a negative dimension")
    count = math.prod(shape)
    if count != held:
        raise DamagedError(f"its shape is {dims or 'that of a scalar'} ({count} values), but it holds {held} values")
    try:
        return np.empty(shape, np.float32)
    except ValueError:  # huge dimensions beside a zero
        raise DamagedError(f"its shape {dims} is impossible") from None


# ------------------------------------------------------------------------------------------------------------------ writing


def encode_varint(value: int) -> bytes:
    """A number in the wire format; a negative one takes ten bytes, as int32 and int64 fields have it."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_tag(number: int, wire: int) -> bytes:
    return encode_varint(number << 3 | wire)


def encode_bytes(number: int, content: bytes) -> bytes:
    """A field with a string, or with a whole message."""
    return encode_tag(number, BYTES) + encode_varint(len(content)) + content


class Encoded:
    """A message in pieces, among them arrays that are not copied until they are written."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes | np.ndarray] = []

    def add(self, *pieces: bytes | np.ndarray) -> None:
        for piece in pieces:
            self._pieces.append(piece)
            self.size += len(piece) if isinstance(piece, bytes) else piece.nbytes

    def add_message(self, number: int, message: Encoded) -> None:
        """Add `message` as the value of field `number`."""
        self.add(encode_tag(number, BYTES), encode_varint(message.size))
        self._pieces += message._pieces
        self.size += message.size

    def pieces(self) -> Iterable[bytes | memoryview]:
        for piece in self._pieces:
            yield piece if isinstance(piece, bytes) else piece.reshape(-1).view(np.uint8).data


def encode_blob(array: np.ndarray, *, diff: np.ndarray | None = None, legacy: bool = False) -> Encoded:
    """A BlobProto with the values, and if given the gradients, as float32.

    `legacy` writes a 4-d shape as num, channels, height, width, as old tools do.

    Byte for byte what Caffe writes: fields by number, packed values.
    """
    blob = Encoded()
    if legacy:
        for number, dim in enumerate(array.shape, 1):
            blob.add(encode_tag(number, VARINT), encode_varint(dim))
    for number, part in ((_DATA, array), (_DIFF, diff)):
        if part is not None and part.size:
            values = np.ascontiguousarray(part, dtype="<f4")
            blob.add(encode_tag(number, BYTES), encode_varint(values.nbytes), values)
    if array.ndim and not legacy:
        dims = b"".join(encode_varint(dim) for dim in array.shape)
        blob.add(encode_bytes(_SHAPE, encode_bytes(1, dims)))
    return blob
