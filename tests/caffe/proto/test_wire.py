"""Arrays in the wire format against protobuf's own parser: every spelling, and every damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.caffe.model_files import message

from caffe.proto import caffe_pb2, wire


def blob_of(content: bytes) -> np.ndarray:
    return wire.Walker(memoryview(content)).blob(0, len(content))


@given(
    values=st.lists(st.floats(width=32, allow_nan=False), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    packed=st.booleans(),
    double=st.booleans(),
)
def test_every_spelling_of_an_array(values: list[float], cuts: list[int], packed: bool, double: bool) -> None:
    """Packed or not, in one run or several with other fields between, float or double: protobuf takes them all, so do we."""
    dtype, number, width = ("<f8", 8, 1) if double else ("<f4", 5, 5)
    array = np.array(values, dtype)
    blob = message(7, message(1, wire.encode_varint(len(values))))
    for part in np.split(array, sorted(min(cut, len(values)) for cut in cuts)):
        if packed:
            blob += message(number, part.tobytes())
        else:
            blob += b"".join(bytes([number << 3 | width]) + value.tobytes() for value in part)
        blob += message(6, np.zeros(2, "<f4").tobytes())  # diff
    reference = caffe_pb2.BlobProto.FromString(blob)
    result = blob_of(blob)
    assert result.shape == tuple(reference.shape.dim)
    expected = np.array(reference.double_data if double else reference.data, dtype).astype(np.float32)
    assert np.array_equal(result, expected)


def test_scalars_and_empty_arrays() -> None:
    assert blob_of(message(5, np.array([2.5], "<f4").tobytes())).shape == ()
    assert blob_of(message(7, message(1, b"\x03\x00"))).shape == (3, 0)


VALUES = message(5, np.zeros(6, "<f4").tobytes())


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (message(7, message(1, b"\x02\x04")) + VALUES, r"its shape is 2 4 \(8 values\), but it holds 6"),
        (message(7, message(1, wire.encode_varint(-2) + wire.encode_varint(-3))) + VALUES, "negative dimension"),
        (message(7, message(1, b"\x01" * 32 + b"\x06")) + VALUES, "more than 32 dimensions"),
        (message(7, message(1, wire.encode_varint(2**62) * 2)) + VALUES, "values"),
        (message(7, message(1, wire.encode_varint(2**62) * 3 + b"\0")), "impossible"),
        (message(5, b"12345"), "not a multiple of 4"),
        (b"\x2a\xff\xff\xff\xff\x7f", "34359738367 bytes, but only 0 are left"),
        (b"\x08\xfe", "in the middle of a number"),
        (b"\x2a" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (VALUES, "scalar"),
    ],
)
def test_impossible_arrays_say_why(blob: bytes, words: str) -> None:
    with pytest.raises(wire.DamagedError, match=words):
        blob_of(blob)


def test_fields_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MAX_FIELDS", 1000)
    with pytest.raises(wire.DamagedError, match="too many fields"):
        blob_of(b"\x28\x01" * 2000)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    reference = caffe_pb2.BlobShape(dim=[value]).SerializeToString()
    assert message(1, wire.encode_varint(value)) == reference
    assert wire.Walker(memoryview(reference)).signed(2, len(reference)) == value


@given(shape=st.lists(st.integers(1, 4), max_size=4), legacy=st.booleans(), seed=st.integers(0, 99))
def test_blobs_are_written_as_protobuf_writes_them(shape: list[int], legacy: bool, seed: int) -> None:
    array, diff = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    legacy = legacy and len(shape) == 4
    fields: dict[str, Any] = {"data": array.reshape(-1).tolist(), "diff": diff.reshape(-1).tolist()}
    if legacy:
        fields |= dict(zip(("num", "channels", "height", "width"), shape))
    elif shape:
        fields["shape"] = {"dim": shape}
    encoded = wire.encode_blob(array, diff=diff, legacy=legacy)
    content = b"".join(bytes(piece) for piece in encoded.pieces())
    assert content == caffe_pb2.BlobProto(**fields).SerializeToString(deterministic=True)
    assert encoded.size == len(content)


def test_a_shape_in_many_pieces_is_refused_at_its_33rd_dimension() -> None:
    """Their product would have as many digits as the file has bytes."""
    shape = wire.encode_bytes(7, wire.encode_bytes(1, wire.encode_varint(2**62) * 32))
    blob = shape * 4000
    with pytest.raises(wire.DamagedError, match="more than 32 dimensions"):
        wire.Walker(memoryview(blob)).blob(0, len(blob))


class _Counting(np.ndarray):
    """Tags that count how many of them are compared."""

    compared = 0

    def __ne__(self, other: object) -> Any:
        _Counting.compared += self.size
        return np.asarray(self) != other


def test_numbers_between_other_fields_take_linear_work() -> None:
    """Each run of single numbers was looked for in all that followed: minutes for a file of a few megabytes."""
    tags = np.tile(np.array([5, 9], np.uint8), 20_000).view(_Counting)
    runs, at = 0, 0
    while at < len(tags):
        at += wire.run_length(tags[at:], tags[at].item())
        runs += 1
    assert runs == 40_000
    assert _Counting.compared <= 64 * runs
    assert wire.run_length(np.full(100_000, 5, np.uint8), 5) == 100_000
    assert wire.run_length(np.array([5] * 777 + [6] * 9, np.uint8), 5) == 777
