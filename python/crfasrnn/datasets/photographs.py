"""Which photographs a command line means: files, folders, patterns, and lists that choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from itertools import chain
from pathlib import Path

from caffe.errors import CaffeError, FileError
from crfasrnn.datasets.lists import read_names
from crfasrnn.pictures.photographs import SUFFIXES, is_photograph, photographs_in


def photographs(paths: Sequence[Path], lists: Sequence[Path] = (), suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The photographs of files, folders and patterns such as photos/*/2007_*.jpg (** goes through folders), no two of one name.

    lists: text files with the names of those that are meant, x for x.jpg, one a line; none means all.
    suffixes: of photographs in folders and by patterns; a file that is named itself may have any.
    Raises CaffeError where a file is missing, a folder or pattern holds no photograph, two are called alike but for folder and
    suffix, or a list names one that there is not.
    """
    found: dict[str, Path] = {}
    for path in chain.from_iterable(_files(path, suffixes) for path in paths):
        if not path.is_file():
            raise FileError(f"cannot read image {str(path)!r}: no such file")
        if path.stem in found:
            raise CaffeError(f"{str(found[path.stem])!r} and {str(path)!r} would write results of the same name")
        found[path.stem] = path
    return [found[name] for name in dict.fromkeys(_named(lists, found))] if lists else list(found.values())


def _files(path: Path, suffixes: Sequence[str]) -> list[Path]:
    if path.is_dir():
        files = photographs_in(path, suffixes)
    elif has_magic(str(path)) and not path.exists():
        files = [file for file in map(Path, sorted(glob(str(path), recursive=True))) if is_photograph(file, suffixes)]
    else:
        return [path]
    if not files:
        raise FileError(f"no images in {str(path)!r} (known are {' '.join(suffixes)})")
    return files


def _named(lists: Sequence[Path], found: dict[str, Path]) -> list[str]:
    """The names of all lists, each of which must be found."""
    names = []
    for path in lists:
        for name in read_names(path):
            if name not in found:
                raise FileError(
                    f"list {str(path)!r} names {name[:200]!r}, but there is no such photograph (names are without folder and "
                    "suffix)"
                )
            names.append(name)
    return names
