"""What a search has scored so far, on disk: a search that was stopped goes on from there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import system, write_text
from caffe.inputs.limits import MAX_LIST
from caffe.inputs.reading import read_bytes
from crfasrnn.claims import compare
from crfasrnn.evaluation import metrics
from crfasrnn.postprocessing.settings import CrfSettings


class Record:
    """The confusion matrices (folds x C x C) of every setting that was scored, in a file that is only appended to.

    path: JSON lines: first what the search is of, then one setting each. A last line that was cut off is dropped.
    Raises CaffeError if the file is of another search or damaged.
    """

    def __init__(self, path: str | os.PathLike[str], search_of: dict[str, Any], shape: tuple[int, int, int]) -> None:
        self._path = Path(path)
        self._shape = shape
        self._counts: dict[CrfSettings, np.ndarray] = {}
        if self._path.exists():
            self._read(search_of)
        else:
            write_text(self._path, json.dumps(search_of) + "\n")

    def _read(self, search_of: dict[str, Any]) -> None:
        content = read_bytes(self._path, MAX_LIST)
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(self._path, whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._check(entry, search_of)
                else:
                    counts = np.array(entry["confusion"], np.int64)
                    if counts.shape != self._shape or counts.min() < 0:
                        raise ValueError(f"no confusion matrices of shape {self._shape}")
                    self._counts[CrfSettings.from_json(entry["settings"])] = counts
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError, CaffeError) as problem:
                raise FileError(f"{self._path}:{number}: {problem}; give another folder to start anew") from problem
        if not whole:
            raise FileError(f"{self._path} is not a record of a search; give another folder to start anew")

    def _check(self, entry: Any, search_of: dict[str, Any]) -> None:
        if not isinstance(entry, dict):
            raise FileError("not a record of a search")
        compare(entry, search_of, "the record is of another search: {fact} {there}, now {now}")

    def __contains__(self, settings: CrfSettings) -> bool:
        return settings in self._counts

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, settings: CrfSettings, counts: np.ndarray) -> None:
        """Keep a setting's matrices; they are on disk when this returns."""
        line = (json.dumps({"settings": settings.to_json(), "confusion": counts.tolist()}) + "\n").encode()
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | system.BINARY)
        try:
            before = os.fstat(handle).st_size
            if os.write(handle, line) != len(
                line
            ):  # the disk is full: the next line must not begin behind half of this one
                os.ftruncate(handle, before)
                raise FileError(f"{self._path}: cannot be written: {os.strerror(errno.ENOSPC)}")
            os.fsync(handle)
        finally:
            os.close(handle)
        self._counts[settings] = counts

    def score(self, settings: CrfSettings) -> float:
        """Mean IU on all images."""
        return metrics.mean_iu(self._counts[settings].sum(0))

    def best(self) -> tuple[CrfSettings, float]:
        """The setting with the highest mean IU, the first of equals, and that."""
        settings = max(self._counts, key=self.score)
        return settings, self.score(settings)

    def held_out(self) -> float:
        """Mean IU when each fold is labelled with the settings that are best on the other folds."""
        counts = np.stack(list(self._counts.values()))
        total = np.zeros(self._shape[1:], np.int64)
        for fold in range(self._shape[0]):
            others = counts.sum(1) - counts[:, fold]
            chosen = int(np.argmax([metrics.mean_iu(confusion) for confusion in others]))
            total += counts[chosen, fold]
        return metrics.mean_iu(total)
