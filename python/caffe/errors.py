"""The exceptions of the caffe package: one clear message each, never a dead interpreter."""

from __future__ import annotations


class CaffeError(RuntimeError):
    """A request that cannot be carried out; the message says which file, layer or field and what to do.

    Genuine Caffe ends the process in these cases (LOG(FATAL)). Here Python code gets this exception and the commands print the
    message and exit with status 1.
    """
