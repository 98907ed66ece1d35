"""Training databases as Caffe's Data layer reads them: one LMDB of photographs and one of their label maps."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe.data.datum import array_to_datum, datum_to_array
from caffe.data.db import Cursor, new_database, open_database
from caffe.errors import CaffeError, FileError
from caffe.files import make_folder, unfinished_folder
from caffe.inputs.opencv import cv2
from caffe.logs.progress_bar import progress
from caffe.proto import caffe_pb2
from crfasrnn.claims import alone_in, digest
from crfasrnn.classes import VOID, write_classes
from crfasrnn.datasets import Example
from crfasrnn.datasets.check import Counts
from crfasrnn.pictures.photographs import resized

# The two databases of a folder.
IMAGES, LABELS = "image_lmdb", "label_lmdb"


@dataclass(frozen=True)
class Entry:
    """One entry of the databases: an example at one size, mirrored or not."""

    example: Example
    max_side: int | None
    mirrored: bool

    def image_and_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The photograph, H x W x 3 uint8 BGR, and its labels, H x W uint8: 0 .. C-1 and 255."""
        image, labels = self.example.image_and_labels()
        if self.max_side is not None:
            size = resized(labels.shape[0], labels.shape[1], self.max_side)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return (image[:, ::-1], labels[:, ::-1]) if self.mirrored else (image, labels)


def variants(examples: Iterable[Example], max_sides: Sequence[int | None], mirror: bool, seed: int) -> list[Entry]:
    """Every example at every size, and mirrored too if asked, in an order that depends on `seed` alone."""
    entries = [
        Entry(example, side, mirrored)
        for example in examples
        for side in max_sides
        for mirrored in ((False, True) if mirror else (False,))
    ]
    random.Random(seed).shuffle(entries)
    return entries


def datum(array: np.ndarray) -> bytes:
    """A serialized Datum of H x W x C or H x W uint8; the channels come first inside it."""
    planes = array.transpose(2, 0, 1) if array.ndim == 3 else array[None]
    return bytes(array_to_datum(planes).SerializeToString())


def write_databases(folder: str | os.PathLike[str], entries: Sequence[Entry], names: Sequence[str] = ()) -> Counts:
    """Write `folder`/image_lmdb and `folder`/label_lmdb, entry i of both under key %08d; returns what was counted in them.

    names: of the classes, for `folder`/classes.txt. The databases are made under another name and renamed when all is complete,
    LABELS last; a progress bar tells how far it is. Raises CaffeError if they exist already, another process makes them, or an
    example cannot be read.
    """
    target = Path(folder)
    created = not target.exists()
    make_folder(target)
    try:
        with alone_in(target):
            return _write_databases(target, entries, names)
    finally:
        if created:
            with suppress(OSError):  # keeps a folder that holds something
                target.rmdir()


def _write_databases(target: Path, entries: Sequence[Entry], names: Sequence[str]) -> Counts:
    for name in (IMAGES, LABELS):
        if (target / name).exists():
            raise CaffeError(f"{str(target / name)!r} exists already; remove it or choose another folder")
    counts = Counts()
    with unfinished_folder(target / "databases") as work:
        with new_database(work / IMAGES) as put_image, new_database(work / LABELS) as put_label:
            for index, entry in enumerate(progress(entries, what=str(target), unit="image")):
                image, label = entry.image_and_labels()
                counts.add(label)
                put_image(b"%08d" % index, datum(image))
                put_label(b"%08d" % index, datum(label))
        if names:
            write_classes(target / "classes.txt", names)
        for name in (IMAGES, LABELS):
            os.replace(work / name, target / name)
    return counts


def read_database(path: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The entries of such a database in order: (key, C x H x W uint8)."""
    cursor = Cursor(path)
    for _ in range(len(cursor.database)):
        key, value = cursor.current()
        yield key, datum_to_array(caffe_pb2.Datum.FromString(value))
        cursor.advance()


def have_databases(folder: Path) -> bool:
    """Whether a folder has them; write_databases gives them their names when both are complete, LABELS last."""
    return (folder / LABELS).is_dir()


def require_databases(folder: Path) -> None:
    """Raise CaffeError naming the first database that a folder lacks, and how to make it."""
    for name in (IMAGES, LABELS):
        if not (folder / name).is_dir():
            raise FileError(f"no database {str(folder / name)!r}: make it with `crfasrnn data lmdb --output {folder}`")


def count_entries(folder: Path) -> int:
    """How many images the databases in a folder hold."""
    return len(open_database(folder / LABELS))


def fingerprint(folder: Path) -> str:
    """A digest that tells databases apart, wherever they lie: of how many entries there are, and some of the label maps."""
    cursor = Cursor(folder / LABELS)
    count = len(cursor.database)
    parts = []
    for number in {0, count // 2, count - 1}:
        cursor.seek(b"%08d" % number)
        parts.append(cursor.current())
    return digest(count, sorted(parts), files=[])


def check_labels(folder: Path, classes: Sequence[str]) -> None:
    """Raise CaffeError, naming the first entry, for a label that is neither void nor the number of a class."""
    require_databases(folder)
    entries = progress(
        read_database(folder / LABELS), total=count_entries(folder), what=f"labels of {folder}", unit="map"
    )
    for key, labels in entries:
        largest = _largest(labels)
        if largest >= len(classes):
            raise CaffeError(
                f"{str(folder / LABELS)!r}: entry {key!r} holds label {largest}, but there are {len(classes)} classes, "
                f"{', '.join(classes[:4])}{' ...' if len(classes) > 4 else ''}: classes.txt, --names or --num-classes must count "
                "those of all lists"
            )


def largest_label(folder: Path) -> int:
    """The largest label of the label maps in a folder's database, void aside. Raises CaffeError if there is none."""
    require_databases(folder)
    return max((_largest(labels) for _, labels in read_database(folder / LABELS)), default=0)


def _largest(labels: np.ndarray) -> int:
    return int(labels[labels != VOID].max(initial=0))
