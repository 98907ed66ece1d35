"""Image lists: text files of lines "<file> <label>", as ImageData and convert_imageset read them."""

from __future__ import annotations

import os

from caffe.errors import FileError
from caffe.inputs.limits import MAX_LIST
from caffe.inputs.reading import told_text


def read_list(path: str | os.PathLike[str]) -> list[tuple[str, int]]:
    """The files and labels of an image list, in its order; blank lines are passed over.

    A label is a whole number of 32 bits; a file's name may hold blanks. Raises CaffeError, naming the line, where one is not of
    that form, and for a list that is empty or cannot be read.

    >>> import os, tempfile
    >>> from caffe.data.image_list import read_list
    >>> path = os.path.join(tempfile.mkdtemp(), "list.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("a cat.png 3\\n\\ndog.png 0\\n")
    >>> read_list(path)
    [('a cat.png', 3), ('dog.png', 0)]
    """
    source = os.fspath(path)
    lines = told_text(path, MAX_LIST, "the image list").split("\n")
    rows = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise FileError(f"the image list '{source}' is empty.")
    return [_entry(row, f"{source}, line {number}") for number, row in rows]


def _entry(row: str, place: str) -> tuple[str, int]:
    name, _, label = row.rpartition(" ")
    try:
        value = int(label)
    except ValueError:
        value = 2**31
    if not name or not -(2**31) <= value < 2**31:
        raise FileError(f"{place}: expected '<file> <label>', got '{row[:200]}'.")
    return name.strip(), value
