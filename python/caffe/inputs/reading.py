"""Whole files, of which there is an end."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from typing import BinaryIO

from caffe.errors import FileError
from caffe.files import file_name, system


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, in binary. Raises OSError if it cannot be, and for a device or a pipe.

    These have no end, or nobody who writes into them; every file that we are told to read is opened here.
    """
    return open(file_name(path), "rb", opener=_opened_regular)


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file. Raises OSError if it cannot be read or has more than `most` bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most} bytes, the most that is read", os.fspath(path))
        return file.read(most)


def read_text(path: str | os.PathLike[str], most: int) -> str:
    """The content of a UTF-8 file with any ends of lines as \\n and without the mark that Windows' editors put first.

    Raises OSError as read_bytes does, and UnicodeDecodeError, which names UTF-16 if it is that.
    """
    content = read_bytes(path, most)
    if is_utf16(content):
        raise UnicodeDecodeError("utf-8", content[:2], 0, 2, "it is UTF-16, save it as UTF-8")
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def told_text(path: str | os.PathLike[str], most: int, what: str) -> str:
    """As read_text; raises FileError, which calls the file `what` ("the image list"), where that raises something."""
    try:
        return read_text(path, most)
    except OSError as error:
        raise FileError(f"cannot read {what} {os.fspath(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{what} {os.fspath(path)!r} is not UTF-8 text: {error.reason}") from error


def is_utf16(content: bytes) -> bool:
    """Whether a text begins as UTF-16 does, with its mark or two letters of ASCII."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return marked or (b"\0\0" in (content[:4:2], content[1:4:2]) and content[:4].count(0) == 2)


def _opened_regular(path: str, flags: int) -> int:
    # Opening a pipe waits for somebody to write into it, unless told not to.
    handle = os.open(path, flags | system.NO_WAIT)
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # Python itself has a message about folders
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file (a device or a pipe?)", path)
    return handle
