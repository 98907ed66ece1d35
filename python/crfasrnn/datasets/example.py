"""A data set as a list of photographs with label maps, and the choice and order of its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.inputs.arguments import byte_array, integer
from crfasrnn.classes import VOID, unnamed_classes
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import MASK_SUFFIXES, SUFFIXES, exif_remark, read_image

_REFUSED = -1  # in a table: a value that no label map of the data set may hold


@dataclass(frozen=True)
class Example:
    """One photograph of a data set and where its label map lies.

    decode: reads the stored label map of label_path, H x W uint8.
    table: the label (0 .. 255) that each of the 256 stored values stands for, or -1 if it is an error; None keeps them all.
    upright: whether the photograph is turned as its EXIF data asks, which the label map then shows, too.
    own_void: whether a label may be declared void, as --void does; messages about unknown labels then say so.
    """

    name: str
    image_path: Path
    label_path: Path
    decode: Callable[[Path], np.ndarray] = read_labels
    table: tuple[int, ...] | None = None
    upright: bool = True
    own_void: bool = False

    def image(self) -> np.ndarray:
        """The photograph, H x W x 3 uint8, BGR."""
        return read_image(self.image_path, self.upright)

    def labels(self) -> np.ndarray:
        """The label map, H x W uint8, with the data set's numbers. Raises CaffeError if it cannot be read or holds others."""
        stored = self.decode(self.label_path)
        if self.table is None:
            return stored
        labels = np.array(self.table, np.int16)[stored]
        if labels.size and labels.min() == _REFUSED:
            row, column = np.argwhere(labels == _REFUSED)[0]
            raise CaffeError(
                f"label map {str(self.label_path)!r} of {self.name!r} holds {stored[row, column]} at row {row}, column "
                f"{column}, which is not a label of this data set ({_known(self.table)})"
                f"{self._void_hint(int(stored[row, column]))}"
            )
        return labels.astype(np.uint8)

    def image_and_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Both, of one height and width. Raises CaffeError if the sizes differ."""
        image, labels = self.image(), self.labels()
        if image.shape[:2] != labels.shape:
            raise CaffeError(
                f"{self.name}: the photograph has {image.shape[1]} x {image.shape[0]} pixels"
                f"{self.exif_remark()}, its label map {labels.shape[1]} x {labels.shape[0]}"
            )
        return image, labels

    def exif_remark(self) -> str:
        """What a message about the photograph's size adds if its EXIF data may be why; else nothing."""
        return exif_remark(self.image_path, self.upright)

    def label_remark(self, labels: np.ndarray, classes: int) -> str:
        """What a message adds about the first of its labels, H x W, beyond so many classes, if there is one and a way."""
        beyond = labels[(labels >= classes) & (labels != VOID)]
        if not beyond.size:
            return ""
        return self._void_hint(int(beyond[0]) if self.table is None else self.table.index(int(beyond[0])))

    def _void_hint(self, stored: int) -> str:
        return f"; if it means void: --void {stored}" if self.own_void else ""

    def missing(self) -> list[Path]:
        """Those of its files that are not there."""
        return [path for path in (self.image_path, self.label_path) if not path.is_file()]

    def relabelled(self, table: Sequence[int]) -> Example:
        """The same with `table` applied to the labels that it has now; -1 marks labels that it must not have."""
        now = range(256) if self.table is None else self.table
        return replace(self, table=tuple(_REFUSED if label == _REFUSED else int(table[label]) for label in now))


@dataclass(frozen=True)
class Dataset:
    """Examples in a fixed order, and what their labels 0, 1, ... are called (no names: not known).

    title: what messages call it, e.g. "list '.../val.txt'".
    """

    title: str
    examples: tuple[Example, ...]
    names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    def require_files(self) -> Dataset:
        """Itself, if it has examples and all their files are there; raises CaffeError naming the first that is missing."""
        if not self.examples:
            raise CaffeError(f"{self.title} is empty")
        for example in self.examples:
            for file in example.missing():
                raise FileError(
                    f"{self.title} names {example.name!r}, but {str(file)!r} is missing{_what_to_do(example, file)}"
                )
        return self

    def complete(self) -> Dataset:
        """The examples whose files are all there. Raises CaffeError, as require_files, if there is none."""
        found = tuple(example for example in self.examples if not example.missing())
        return replace(self, examples=found) if found else self.require_files()

    def as_stored(self) -> Dataset:
        """The same, with photographs that are not turned by their EXIF data."""
        return replace(self, examples=tuple(replace(example, upright=False) for example in self.examples))

    def strict(self) -> Dataset:
        """The same, refusing labels that have no name; void stays allowed."""
        count = len(self.names)
        return self._relabelled([label if label < count or label == VOID else _REFUSED for label in range(256)])

    def with_void(self, label: int) -> Dataset:
        """The same with `label` as void, too; if it is the last that has a name, the name goes."""
        table = [VOID if value == label else value for value in range(256)]
        last = len(self.names) - 1
        return replace(self._relabelled(table), names=self.names[:last] if label == last else self.names)

    def without_zero(self) -> Dataset:
        """Label 0 becomes void and every other moves down by one, as for ADE20K, whose 0 is "other objects"."""
        table = [VOID, *range(VOID - 1), VOID]
        return replace(self._relabelled(table), names=self.names[1:])

    def select(self, class_ids: Sequence[int], others: str = "ignore") -> Dataset:
        """The classes `class_ids`, in this order, as labels 0, 1, ...; other labels become void or the background.

        The classes are called as before, or where nobody named them `class 0`, `class 1`, ...: as many as are chosen, whatever
        the label maps hold.

        class_ids: different labels of 0 .. 255; 255 makes a class of what is void otherwise (masks of 0 and 255).
        others: "ignore" makes them 255, "background" 0. Void stays void.
        Raises CaffeError if a number is not one of the data set's labels, ValueError or TypeError if it can be none.
        """
        if others not in ("ignore", "background"):
            raise CaffeError(f"other classes go to 'ignore' or 'background', not {others!r}")
        if len(class_ids) > VOID + 1:
            raise CaffeError(f"{len(class_ids)} classes are asked for, but labels are numbers of 0 to {VOID}")
        class_ids = [integer("class_ids", label, 0, VOID) for label in class_ids]
        wrong = [label for label in class_ids if self.names and not (label < len(self.names) or label == VOID)]
        if wrong:
            raise CaffeError(
                f"{self.title} has the classes 0 to {len(self.names) - 1}, but class {wrong[0]} is asked for"
            )
        table = [VOID if others == "ignore" else 0] * VOID + [VOID]
        for new, label in enumerate(class_ids):
            table[label] = new
        names = (
            tuple(self.names[label] if label < VOID else "marked" for label in class_ids)
            if self.names
            else unnamed_classes(len(class_ids)).names
        )
        return replace(self._relabelled(table), names=names)

    def _relabelled(self, table: Sequence[int]) -> Dataset:
        return replace(self, examples=tuple(example.relabelled(table) for example in self.examples))


def _known(table: Sequence[int]) -> str:
    """The values that a table does not refuse, in words: classes in a row from the lowest, and beyond them what is void."""
    allowed = [value for value in range(256) if table[value] != _REFUSED]
    last = next(value for value in allowed if value + 1 not in allowed)
    void = " and ".join(str(value) for value in allowed if value > last)
    return f"{allowed[0]} to {last}, and {void} for void"


def _what_to_do(example: Example, missing: Path) -> str:
    """What the message about a missing file adds, if it is known what to do."""
    if Path(example.name).suffix.lower() in (*SUFFIXES, ".png"):
        return ": names in a list are without the ending"
    if missing == example.label_path:
        others = [path.name for path in map(missing.with_suffix, MASK_SUFFIXES) if path.is_file() and path != missing]
        if others:
            return f", but {others[0]!r} is there: crfasrnn data masks makes label PNGs of other kinds of masks"
        return ": make that mask, or leave the name out of the list (crfasrnn data split lists what has a mask)"
    return ""


def select_classes(labels: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """Labels, numbers of 0 to 255, with class_ids[i] renumbered to i and everything else to 255; uint8 of the same shape.

    Raises ValueError for labels that are no such numbers.
    """
    table = np.full(256, VOID, np.uint8)
    table[list(class_ids)] = np.arange(len(class_ids), dtype=np.uint8)
    return table[byte_array("labels", labels)]
