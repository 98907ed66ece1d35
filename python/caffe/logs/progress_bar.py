"""A progress bar with the time that is left, below the log lines of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from caffe import parallel
from caffe.logs.glog import logger


@contextmanager
def progress_bar(total: int, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Yield show(done), which moves the bar to so many of `total` iterations.

    There is no bar where stderr is no terminal, and none in the processes after the first of several.
    """
    if not sys.stderr.isatty() or parallel.rank():
        yield lambda done: None
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with (
        tqdm(total=total, initial=done, unit="iteration", file=sys.stderr, dynamic_ncols=True) as bar,
        logging_redirect_tqdm([logger]),
    ):
        yield lambda done: bar.update(done - bar.n)
