"""Model files that genuine Caffe wrote, and what protobuf's own parser says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe.proto import caffe_pb2, wire
from caffe.proto.model_file import LayerBlobs
from support.reference_data import FILES, SHARED

TINY = FILES / "tiny_init.caffemodel"


def all_files(pattern: str) -> list[Any]:
    """The small copies, and every file of that kind that genuine Caffe wrote for us."""
    folders = [SHARED / "golden" / "files", *sorted((SHARED / "caffemodels").glob("*"))]
    more = [path for folder in folders for path in sorted(folder.glob(pattern)) if not (FILES / path.name).exists()]
    return [pytest.param(path, id=path.name) for path in [*sorted(FILES.glob(pattern)), *more]]


def parsed(path: Path) -> Any:
    return caffe_pb2.NetParameter.FromString(path.read_bytes())


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype == np.float32 and a.shape == b.shape and a.tobytes() == b.tobytes()


def as_array(blob: Any) -> np.ndarray:
    """What protobuf's own parser says of a BlobProto."""
    shape = (blob.num, blob.channels, blob.height, blob.width) if blob.HasField("num") else tuple(blob.shape.dim)
    return np.array(blob.data, np.float32).reshape(shape)


def same_layers(a: list[LayerBlobs], b: list[LayerBlobs]) -> bool:
    return [x.name for x in a] == [y.name for y in b] and all(
        len(x.blobs) == len(y.blobs) and all(map(same, x.blobs, y.blobs)) for x, y in zip(a, b)
    )


def message(number: int, content: bytes) -> bytes:
    """A field that holds a message, in the wire format."""
    return wire.encode_bytes(number, content)
