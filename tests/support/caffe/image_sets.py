"""Small images, and databases of them as convert_imageset makes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import lmdb
import numpy as np

from caffe.proto import caffe_pb2
from caffe.tools import convert_imageset


def write_photos(root: Path) -> Path:
    """A folder `images` with four small images, one grey, and beside it list.txt; returns the folder."""
    folder = root / "images"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, shape in (("a b.png", (6, 8, 3)), ("sub/c.png", (6, 8, 3)), ("d.jpg", (10, 12, 3)), ("e.png", (7, 5))):
        cv2.imwrite(str(folder / name), random.integers(0, 256, shape, np.uint8))
    (root / "list.txt").write_text("a b.png 3\nsub/c.png 0\nd.jpg 7\ne.png -1\n")
    return folder


def datums(path: Path) -> list[tuple[str, caffe_pb2.Datum]]:
    """Keys and Datums of an LMDB, in its order, read by lmdb itself."""
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(bytes(k).decode(), caffe_pb2.Datum.FromString(v)) for k, v in transaction.cursor()]


def convert(photos: Path, *flags: str, name: str = "db") -> list[tuple[str, caffe_pb2.Datum]]:
    """What convert_imageset makes of the listed images under `name`, beside their folder."""
    target = photos.parent / name
    assert convert_imageset.main([*flags, f"{photos}/", str(photos.parent / "list.txt"), str(target)]) == 0
    assert not list(photos.parent.glob(f".{name}*"))
    return datums(target)
