"""HDF5Data and HDF5Output: batches of rows from HDF5 files, and rows written to one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import parallel
from caffe.blob import Blob
from caffe.data.streams import common_stream, set_stream_state
from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import MAX_LIST
from caffe.inputs.reading import read_text
from caffe.layers.base import Layer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer
from caffe.proto import hdf5_file

Arrays = dict[str, npt.NDArray[np.float32]]


@register_layer("HDF5Data")
class HDF5Data(Layer):
    """Caffe layer HDF5Data: rows of the datasets named like the tops, through all files of a list, round and round.

    No bottoms. Tops: any number, (batch_size, rest of the dataset's shape). All datasets of a file need as many rows. Options
    (hdf5_data_param): source (a text file with one HDF5 file per line), batch_size, shuffle (false; rows within files and the
    order of files, anew in each round). No transform_param.
    """

    kind = "data"
    exact_bottoms = 0
    min_tops = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            raise layer_error(self, "HDF5Data does not transform data.")
        if param.batch_size < 1:
            raise layer_error(self, "batch_size must be positive.")
        try:
            lines = read_text(param.source, MAX_LIST).split("\n")
            self.files = [line.strip() for line in lines if line.strip()]
        except OSError as error:
            raise layer_error(self, f"cannot read the source '{param.source}': {error.strerror}", FileError) from error
        except UnicodeDecodeError as error:
            raise layer_error(
                self, f"the source '{param.source}' is not UTF-8 text: {error.reason}.", FileError
            ) from error
        if not self.files:
            raise layer_error(self, f"the source '{param.source}' names no HDF5 file; write one per line.", FileError)
        self.names = list(self.layer_param.top)
        self.listed = list(self.files)
        self.random = common_stream(self.phase) if param.shuffle else None
        self.loaded = ""
        self._start_round()
        for name, blob in zip(self.names, top):
            blob.reshape(param.batch_size, *self.arrays[name].shape[1:])

    # The order of the files follows from the random state at the start of the round alone, that of the rows from the one at the
    # start of the file; these two are the reading position.

    def _start_round(self, file_index: int = 0) -> None:
        self.round = self.random.getstate() if self.random else None
        if self.random:
            self.files = self.random.sample(self.listed, len(self.listed))
        self.file_index = file_index
        self._start_file()

    def _start_file(self) -> None:
        self.file_start = self.random.getstate() if self.random else None
        path = self.files[self.file_index]
        if path != self.loaded:
            self.arrays, self.loaded = self._read(path), path
        self.order = list(range(len(self.arrays[self.names[0]])))
        if self.random:
            self.random.shuffle(self.order)
        self.row = 0

    def _read(self, path: str) -> Arrays:
        try:
            with hdf5_file.opened(path) as file:
                found = {name: hdf5_file.member(file, name) for name in self.names}
                for name, dataset in found.items():
                    if dataset is None:
                        raise FileError(f"'{path}' has no dataset '{name}'; it has {', '.join(sorted(file))}.")
                named = [(f"dataset '{name}'", dataset) for name, dataset in found.items()]
                arrays: Arrays = dict(zip(found, hdf5_file.read_arrays(named, path)))
        except CaffeError as error:
            raise layer_error(self, str(error), type(error)) from error
        rows = {name: array.shape[:1] for name, array in arrays.items()}
        if len(set(rows.values())) != 1 or rows[self.names[0]] in ((), (0,)):
            raise layer_error(
                self, f"'{path}': all datasets need the same number of rows, at least one: {rows}.", FileError
            )
        return arrays

    def _advance(self) -> None:
        self.row += 1
        if self.row == len(self.order):
            self.file_index += 1
            if self.file_index == len(self.files):
                self._start_round()
            else:
                self._start_file()

    def snapshot_state(self) -> Any:
        return self.file_index, self.row, self.round, self.file_start

    def restore_state(self, state: Any) -> None:
        file_index, row, start_of_round, start_of_file = (
            state if isinstance(state, Sequence) and len(state) == 4 else (None,) * 4
        )
        if not isinstance(file_index, int) or not 0 <= file_index < len(self.files):
            raise layer_error(
                self, f"{self.layer_param.hdf5_data_param.source} has no file {file_index!r} to go on from."
            )
        if self.random:
            set_stream_state(self.random, start_of_round)
        self._start_round(file_index)
        if self.random:
            set_stream_state(self.random, start_of_file)
            self._start_file()
        if not isinstance(row, int) or not 0 <= row < len(self.order):
            raise layer_error(self, f"'{self.loaded}' has no row {row!r} to go on from.")
        self.row = row

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        rank, processes = parallel.shard(self.phase)
        rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in self.names]
        for i in range(top[0].shape[0] * processes):
            if i % processes == rank:
                for k, name in enumerate(self.names):
                    rows[k].append(self.arrays[name][self.order[self.row]])
            self._advance()
        for name, blob, parts in zip(self.names, top, rows):
            if any(part.shape != parts[0].shape for part in parts):
                raise layer_error(self, f"dataset '{name}' has rows of different shapes in different files.")
            blob.tensor = torch.from_numpy(np.stack(parts))


@register_layer("HDF5Output")
class HDF5Output(Layer):
    """Caffe layer HDF5Output: appends the rows of its bottoms to the datasets "data" and "label" of an HDF5 file.

    Bottoms: data and labels with as many rows. No tops. Option (hdf5_output_param): file_name; the file is written anew at
    set-up and complete after each forward. No gradient.
    """

    exact_bottoms = 2
    exact_tops = 0

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.path = self.layer_param.hdf5_output_param.file_name
        if not self.path:
            raise layer_error(self, "hdf5_output_param needs a file_name.")
        try:
            with hdf5_file.written(self.path):
                pass
        except OSError as error:
            raise layer_error(self, f"Failed to open HDF5 file '{self.path}': {error}", FileError) from error

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        rows = [blob.shape[0] if blob.shape else 0 for blob in bottom]
        if rows[0] != rows[1]:
            raise layer_error(self, f"data and labels need as many rows, not {rows[0]} and {rows[1]}.")
        try:
            self._append(bottom)
        except FileError:
            raise
        except OSError as error:
            raise layer_error(self, f"'{self.path}' cannot be written: {error.strerror or error}", FileError) from error

    def _append(self, bottom: Sequence[Blob]) -> None:
        with hdf5_file.written(self.path, "r+") as file:
            for name, blob in zip(("data", "label"), bottom):
                values = blob.tensor.cpu().numpy()
                if name not in file:
                    file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
                    continue
                dataset = file[name]
                if dataset.shape[1:] != values.shape[1:]:
                    raise layer_error(
                        self,
                        f"'{os.path.basename(self.path)}' holds rows of {dataset.shape[1:]}, not {values.shape[1:]}.",
                    )
                dataset.resize(len(dataset) + len(values), axis=0)
                dataset[-len(values) :] = values
