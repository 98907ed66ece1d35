"""What every part that deals with photographs and labels agrees on: the label that counts nowhere, the mean that is
subtracted from photographs, and the classes of PASCAL VOC and of single models. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe.errors import FileError
from caffe.files import write_text
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import read_text

VOID = 255  # the label of pixels that neither train nor count; classes are below it

MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet's photographs, as VGG subtracts it

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv/monitor",
)

# Background, person and the animals with a coat: what the slim networks and the bundled models tell apart, by VOC's numbers.
VOC_ANIMALS = (0, 8, 10, 12, 13, 15, 17)


@dataclass(frozen=True)
class Classes:
    """The classes of a model in the order of its channels: names, and VOC's numbers, which give the colours."""

    names: tuple[str, ...]
    voc_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def backgrounds(self) -> tuple[bool, ...]:
        """Of each class whether it is the background: number 0, unless it is named as something else ("sky")."""
        return tuple(
            number == 0 and name.lower() in ("background", "class 0") for name, number in zip(self.names, self.voc_ids)
        )


def read_classes(path: Path) -> Classes:
    """Read a classes.txt: one line `<VOC number> <name>` per channel, in order. Raises CaffeError for any other line."""
    names, ids = [], []
    for number, line in enumerate(_read(path).splitlines(), 1):
        voc_id, _, name = line.strip().partition(" ")
        if not (voc_id.isdecimal() and len(voc_id) < 9 and int(voc_id) < VOID and name.strip()):
            raise FileError(f"{path}:{number}: expected '<number below {VOID}> <class name>', found {line[:200]!r}")
        ids.append(int(voc_id))
        names.append(name.strip())
    return Classes(tuple(names), tuple(ids))


def _read(path: Path) -> str:
    try:
        return read_text(path, MAX_TEXT)
    except OSError as problem:
        raise FileError(f"cannot read {str(path)!r}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise FileError(f"{str(path)!r} is not UTF-8 text: {problem}") from problem


def write_classes(path: Path, names: Sequence[str]) -> None:
    """Write a classes.txt; the number before a name is VOC's if all names are VOC's, else the channel's."""
    voc = all(name in VOC_CLASSES for name in names)
    lines = [f"{VOC_CLASSES.index(name) if voc else index} {name}\n" for index, name in enumerate(names)]
    write_text(path, "".join(lines))


def unnamed_classes(count: int) -> Classes:
    """`class 0`, `class 1`, ...: for a net or labels whose classes nobody names; 21 need not be VOC's."""
    return Classes(tuple(f"class {index}" for index in range(count)), tuple(range(count)))
