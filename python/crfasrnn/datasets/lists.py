"""Text files that come with data sets: lists of images and lists of classes."""

from __future__ import annotations

from pathlib import Path, PurePath

from caffe.errors import FileError
from caffe.inputs.limits import MAX_LIST
from caffe.inputs.reading import told_text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that hold something. Raises CaffeError if it is missing, huge or not text."""
    return [line.strip() for line in told_text(path, MAX_LIST, "list").splitlines() if line.strip()]


def read_names(path: Path) -> list[str]:
    """The names of a list, one a line, all different and inside the data set's folder."""
    names = read_lines(path)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FileError(f"list {str(path)!r} names {name[:200]!r} twice")
        seen.add(name)
        check_inside(name, f"list {str(path)!r}")
    return names


def check_inside(name: str, where: str) -> None:
    """Raise CaffeError if a relative path that a stranger's file gives leads out of its folder, or is not one."""
    path = PurePath(name)
    if not path.parts or path.anchor or ".." in path.parts or "\0" in name:
        raise FileError(f"{where} names {name[:200]!r}, which is outside the data set's folder")
