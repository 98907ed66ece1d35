"""The exceptions of the caffe package: one clear message each, never a dead interpreter."""

from __future__ import annotations

_LONGEST = 4000  # characters of a message


class CaffeError(RuntimeError):
    """A request that cannot be carried out; the message says which file, layer or field and what to do.

    Genuine Caffe ends the process in these cases (LOG(FATAL)). Here Python code gets this exception and the commands print the
    message and exit with status 1.
    """

    def __str__(self) -> str:
        """The message; what is too long to be read, as names and excerpts of damaged files may be, is told without its middle."""
        told = super().__str__()
        return told if len(told) <= _LONGEST else f"{told[: _LONGEST // 2]} ... {told[-_LONGEST // 2 + 5 :]}"

    def retold(self, message: str) -> CaffeError:
        """An error of the same kind with another message, for who knows better where it happened."""
        return type(self)(message)


class FileError(CaffeError, OSError):
    """A file that is missing, cannot be read or written, or does not hold what it should.

    An OSError too, so that programs which pass over unreadable files (`except IOError: continue`) go on doing so.
    """
