"""What a frozen network says of each image, computed once for all trainings of the CRF behind it, and kept beside the data.

`DATA/scores/<digest>/` belongs to one network: its layers, weights and precision. In it lies a file for each image, under a digest
of the image's pixels, so that it serves trainings of any seed, order and variant of the CRF, also at the same time. What is kept is
what the network hands to its last layers, which only enlarge and crop it, as float16: about 40 kB for a photograph of VOC's and 7
classes. A folder may be removed at any time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError
from caffe.fastpath.remembered import remembered
from caffe.files import make_folder
from caffe.inputs.arrays import read_npz, write_npz
from caffe.logs.glog import signed
from caffe.solver.solver import Solver
from crfasrnn.claims import claim, digest
from crfasrnn.datasets.databases import count_entries, have_databases
from crfasrnn.training.job import Job

logger = signed("crfasrnn.py")

FOLDER = "scores"
LIMIT = 8 << 30  # bytes of all networks' scores for one DATA
SPARED = 1 << 30  # bytes of the disk that are left free
_FORMAT = 1  # to be raised when a layer computes something else of the same weights
_ENDING = ".npz"


class ScoreCache:
    """Files of float16 arrays; a caffe.fastpath.remembered.Store.

    root: folder for several networks. network: digest of one. limit: bytes that `root` may take, those that other processes add
    meanwhile not counted. spared: bytes of the disk that it leaves free.

    Whatever fails is logged, once, and costs time alone: what cannot be read is computed again, and what cannot be written is
    computed each time.
    """

    def __init__(self, root: Path, network: str, limit: int = LIMIT, spared: int = SPARED) -> None:
        name = digest(_FORMAT, network, files=[])
        self.folder = root / name[:16]
        self._limit, self._spared = limit, spared
        self._usable = self._writes = True
        self._told = False
        try:
            make_folder(self.folder)
            claim(self.folder / "network.json", {"network": name}, "{where} holds scores of another network")
        except CaffeError as problem:
            self._usable = False
            self._stop_writing(f"No scores are kept: {problem}")
        self._bytes = _size(root)

    def __len__(self) -> int:
        """How many images are in it."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            return sum(entry.name.endswith(_ENDING) and not entry.name.startswith(".") for entry in entries)
        return 0

    def get(self, key: str) -> list[np.ndarray] | None:
        """The arrays of a key; None if there are none that can be read."""
        path = self._path(key)
        if not self._usable or not path.is_file():
            return None
        try:
            arrays = list(read_npz(path).values())
            if arrays and all(array.dtype == np.float16 for array in arrays):
                return arrays
            raise CaffeError(f"{str(path)!r} holds no float16 arrays")
        except CaffeError as problem:
            if not self._told:
                logger.warning("Scores are computed again: %s", problem)
            self._told = True
            return None

    def put(self, key: str, arrays: Sequence[np.ndarray]) -> None:
        """Keep them if there is room."""
        size = sum(array.nbytes for array in arrays)
        if not self._writes or not self._has_room(size):
            return
        path = self._path(key)
        try:
            write_npz(path, {str(k): array for k, array in enumerate(arrays)})
            self._bytes += path.stat().st_size
        except (CaffeError, OSError) as problem:
            self._stop_writing(f"No more scores are kept: {problem}")

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_ENDING}"

    def _has_room(self, size: int) -> bool:
        root = self.folder.parent
        if self._bytes + size > self._limit:
            self._stop_writing(
                f"No more scores are kept: {root} has reached {self._limit >> 20} MiB. Remove what is old in it"
            )
        else:
            with suppress(OSError):
                if shutil.disk_usage(self.folder).free - size < self._spared:
                    self._stop_writing(
                        f"No more scores are kept: less than {self._spared >> 20} MiB are free where {root} is"
                    )
        return self._writes

    def _stop_writing(self, reason: str) -> None:
        logger.warning("%s. The training goes on, and computes what it lacks.", reason)
        self._writes = False


def _size(root: Path) -> int:
    """Bytes of all files below a folder."""
    size = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                size += os.stat(os.path.join(folder, name)).st_size
    return size


def keep(solver: Solver, job: Job) -> list[str]:
    """Let a solver's nets, which have their weights, keep what of them is frozen, if the job says so; returns what to tell of it.

    From then on the scores are rounded to float16, also where they cannot be kept. Nothing is kept of a network that learns, as
    one from random weights does.
    """
    if not job.keeps_scores:
        return []
    caches: dict[str, ScoreCache] = {}

    def opened(network: str) -> ScoreCache:
        if network not in caches:
            caches[network] = ScoreCache(job.data / FOLDER, network)
        return caches[network]

    for net in (solver.net, *solver.test_nets):
        net.fast_path = remembered(net, solver.net, opened) or net.fast_path
    images = sum(count_entries(folder) for folder in job.folders if have_databases(folder))
    return [
        f"the scores of the frozen network are kept in {cache.folder}: {len(cache)} so far, for {images} images"
        for cache in caches.values()
    ]
