"""What a data set holds and what is wrong with it: counts per class, and every example that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe.errors import CaffeError
from caffe.logs.progress_bar import progress
from caffe.logs.wording import counted
from crfasrnn.classes import VOID
from crfasrnn.datasets.example import Dataset
from crfasrnn.pictures.photographs import is_turned

# Of masks of 0 and 255, as programs that cut out objects write them.
OBJECT_IS_VOID = (
    f"there is nothing but label 0 and {VOID}, and {VOID} is void, which neither trains nor counts; if {VOID} marks the object, "
    f"add --classes 0,{VOID}, or make masks of 0 and 1: crfasrnn data masks --palette binary"
)


class Counts:
    """Pixels and images of each label 0 .. 255 over the label maps added so far."""

    def __init__(self) -> None:
        self.pixels = np.zeros(256, np.int64)
        self.images = np.zeros(256, np.int64)
        self.total = 0

    def add(self, labels: np.ndarray) -> None:
        """Count one label map, H x W uint8."""
        pixels = np.bincount(labels.ravel(), minlength=256)
        self.pixels += pixels
        self.images += pixels > 0
        self.total += 1

    def num_classes(self) -> int:
        """One more than the highest label that is not void; 0 if all is void."""
        present = np.flatnonzero(self.pixels[:VOID])
        return int(present[-1]) + 1 if present.size else 0

    def is_void_beside_0(self) -> bool:
        """Whether there is void and nothing but label 0 beside it, as in masks whose object is 255."""
        return self.num_classes() <= 1 and bool(self.pixels[VOID])

    def table(self, names: Sequence[str] = ()) -> str:
        """A line for each class with its images, pixels and share of the pixels that count."""
        titles = [
            f"{label} {names[label] if label < len(names) else ''}".rstrip()
            for label in range(max(len(names), self.num_classes()))
        ]
        width = max(len(title) for title in (*titles, f"{VOID} void"))
        counted = max(1, int(self.pixels[:VOID].sum()))
        rows = [
            f"{title:<{width}}  {self.images[label]:7d}  {self.pixels[label]:13d}  {100 * self.pixels[label] / counted:6.2f}"
            for label, title in enumerate(titles)
        ]
        head = f"{'label':<{width}}  {'images':>7}  {'pixels':>13}  {'%':>6}"
        void = f"{f'{VOID} void':<{width}}  {self.images[VOID]:7d}  {self.pixels[VOID]:13d}"
        return "\n".join([head, *rows, void, f"{'all':<{width}}  {self.total:7d}  {int(self.pixels.sum()):13d}"])


def check(dataset: Dataset) -> tuple[Counts, list[str]]:
    """Read every image and label map; the counts of the good ones, and one message for each of the others."""
    counts, problems = Counts(), []
    for example in progress(dataset, what="check", unit="image"):
        missing = example.missing()
        problems += [f"{example.name}: {str(path)!r} is missing" for path in missing]
        if missing:
            continue
        try:
            counts.add(example.image_and_labels()[1])
        except CaffeError as problem:
            problems.append(str(problem))
    return counts, problems


def exif_note(dataset: Dataset) -> str | None:
    """A sentence that counts the photographs whose EXIF data turn them, or None if there are none."""
    turned = [example for example in dataset if is_turned(example.image_path)]
    if not turned:
        return None
    count = f"EXIF data ask to turn {len(turned)} of {counted(len(dataset), 'photograph')}, e.g. {turned[0].name!r}"
    if turned[0].upright:
        return f"{count}, and they are turned: label maps must be, too (--exif ignore takes photographs as stored)"
    return f"{count}, but they are taken as stored: label maps must be so, too (--exif apply turns photographs)"


def remark(counts: Counts, names: Sequence[str] = ()) -> str | None:
    """A sentence if the labels look as if they meant something else than they say, or None; names: of the classes, if known."""
    if counts.is_void_beside_0():
        return OBJECT_IS_VOID
    present = np.flatnonzero(counts.pixels[:VOID])
    if not names and 2 * present.size < counts.num_classes():
        before = f"after {present[-2]}" if present.size > 1 else "alone"
        return (
            f"only {present.size} of the labels 0 to {present[-1]} occur, the highest of them {before}: if it is a mistake, "
            "--names FILE finds the images that hold it; if the others are not meant, --classes says which are"
        )
    return None
