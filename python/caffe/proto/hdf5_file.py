"""Model and solver-state files in HDF5: /data/<layer>/<i>; /iter, /learned_net, /current_step, /history/<i>."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import unpacked
from caffe.inputs.reading import open_regular

_MAX_DEPTH = 32
# deflate shrinks to 1/1032 at best; more than that claimed by a file is made up to exhaust the memory. Only this and LZF, each
# once, and what costs no memory: HDF5 would load any other filter from a library, and repeat one for the ratio's square.
_MAX_RATIO = 1100
_FREE = 1 << 20  # bytes that chunks may have although nothing is stored in them
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """The file, for reading; h5py's many kinds of errors for damaged files become one CaffeError that names the file."""
    name = os.fspath(path)
    try:
        open_regular(path).close()
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror}") from error
    try:
        with h5py.File(name, "r") as file:
            yield file
    except CaffeError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, OverflowError, MemoryError) as error:
        raise FileError(f"{name}: damaged HDF5 file, or not the kind of file that is needed: {error}") from error


class _Disk(io.FileIO):
    """A file that never tells HDF5 that the disk refuses more, at which its library dies, but remembers it."""

    refusal: OSError | None = None

    def write(self, content: Any) -> int:
        view, written = memoryview(content).cast("B"), 0
        try:
            while written < len(view):
                written += super().write(view[written:]) or 0
        except OSError as error:
            self.refusal = self.refusal or error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.refusal = self.refusal or error
            return size or 0


@contextmanager
def written(path: str | os.PathLike[str], mode: str = "w") -> Iterator[h5py.File]:
    """The file, new ("w") or to be added to ("r+"). Raises OSError, with the system's reason, if it cannot be written."""
    with _Disk(path, "w+" if mode == "w" else mode) as disk:
        try:
            with h5py.File(disk, mode) as file:
                yield file
        finally:
            if disk.refusal is not None:
                raise disk.refusal


def read_layers(file: h5py.File, path: str) -> list[tuple[str, list[np.ndarray]]]:
    """(layer name, its arrays as float32) for every group below /data, in the file's order."""
    data = member(file, "data")
    if not isinstance(data, h5py.Group):
        state = (
            "; it looks like a solver state: the .caffemodel.h5 beside that holds the weights" if "iter" in file else ""
        )
        raise FileError(f"{path}: has no group 'data', so it is not a model file{state}")
    layers: list[tuple[str, list[h5py.Dataset]]] = []
    _collect(data, "", path, layers, set(), 0)
    named = [(f"layer '{name}', blob {i}", part) for name, parts in layers for i, part in enumerate(parts)]
    arrays = iter(read_arrays(named, path))
    return [(name, [next(arrays) for _ in parts]) for name, parts in layers]


def _collect(
    group: h5py.Group, prefix: str, path: str, layers: list[tuple[str, list[h5py.Dataset]]], seen: set[Any], depth: int
) -> None:
    """Layer names may hold slashes, which HDF5 takes for nested groups."""
    address = h5py.h5o.get_info(group.id).addr
    if address in seen or depth > _MAX_DEPTH:
        raise FileError(f"{path}: group '{group.name}' is linked twice, or into itself")
    seen.add(address)
    for key in group:
        child = member(group, key)
        if not isinstance(child, h5py.Group):
            continue
        name = prefix + key
        numbers = [member for member in child if member.isdigit()]
        datasets = {n: member(child, n) for n in numbers}
        arrays = {int(n): d for n, d in datasets.items() if isinstance(d, h5py.Dataset)}
        if sorted(arrays) != list(range(len(arrays))):
            # Genuine Caffe leaves out parameters that another layer owns; without them the others' meaning is unclear.
            raise FileError(f"{path}: layer '{name}' has only blobs {sorted(arrays)}")
        if arrays or not len(child):
            layers.append((name, [arrays[i] for i in range(len(arrays))]))
        if len(arrays) < len(child):
            _collect(child, name + "/", path, layers, seen, depth + 1)


def member(group: h5py.Group, key: str) -> Any:
    """A member, None if there is none; whatever is read of a file goes through here.

    Raises CaffeError for links and for arrays whose numbers lie in other files, since they would read whatever the author
    named, and for arrays that larger ones are unpacked for than the file holds.
    """
    link = group.get(key, getlink=True)
    place = f"{group.file.filename}: '{group.name.rstrip('/')}/{key}'"
    if link is not None and not isinstance(link, h5py.HardLink):
        raise FileError(f"{place} is a link to elsewhere, not an array")
    found = group[key] if link is not None else None
    if isinstance(found, h5py.Dataset):
        _check_storage(found, place)
    return found


def _check_storage(dataset: h5py.Dataset, place: str) -> None:
    if dataset.is_virtual or dataset.external:
        raise FileError(f"{place} lies in another file")
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if len(set(filters)) != len(filters) or not _FILTERS.issuperset(filters):
        raise FileError(f"{place} is compressed in a way that is not read; write it with gzip, LZF or not at all")
    stored = dataset.id.get_storage_size()
    for shape in filter(None, (dataset.shape, dataset.chunks)):
        count = math.prod(shape)
        if count * dataset.dtype.itemsize > _MAX_RATIO * stored + _FREE:
            raise FileError(f"{place} claims {count} values in {stored} bytes")


def read_arrays(datasets: Sequence[tuple[str, Any]], path: str) -> list[np.ndarray]:
    """Datasets of real numbers as float32; each comes with what it is called in messages.

    Raises CaffeError for anything else, and for more in all than a file of its size may unpack to (caffe.inputs.limits).
    """
    size, most = 0, unpacked(os.path.getsize(path))
    for what, dataset in datasets:
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiu":
            raise FileError(f"{path}: {what} is missing or holds no numbers")
        size += dataset.size * max(dataset.dtype.itemsize, 4)
        if size > most:
            raise FileError(
                f"{path}: the arrays up to {what} claim {size} bytes; at most {most} are read of such a file"
            )
    with np.errstate(over="ignore"):
        return [np.asarray(dataset[()], dtype=np.float32) for _, dataset in datasets]


def write_layers(
    data: h5py.Group,
    layer_names: Sequence[str],
    blobs: Sequence[Sequence[np.ndarray]],
    dtype: DTypeLike | None = np.float32,
    gzip: int | None = None,
) -> None:
    """Write the arrays of every layer below the group `data`, with their own dtype if that is None; a layer without arrays becomes
    an empty group."""
    for name, arrays in zip(layer_names, blobs):
        # Several layers without parameters may share a name (a well-known published net has three called "crop").
        if name in data and arrays and any(key.isdigit() for key in data[name]):
            raise FileError(f"two layers with parameters are called '{name}': HDF5 cannot hold both")
        group = data.require_group(name)
        for index, array in enumerate(arrays):
            write_array(group, str(index), array, dtype, gzip)


def write_array(
    group: h5py.Group, name: str, array: np.ndarray, dtype: DTypeLike | None = np.float32, gzip: int | None = None
) -> None:
    values = np.asarray(array)
    values = values if dtype is None else values.astype(dtype, copy=False)
    filters = (
        {"compression": "gzip", "compression_opts": gzip, "shuffle": True} if gzip is not None and values.size else {}
    )
    group.create_dataset(name, data=values, **filters)


def read_scalar(file: h5py.File, name: str, path: str) -> int:
    dataset = member(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "iu":
        raise FileError(f"{path}: has no number '{name}', so it is not a solver state")
    return int(np.asarray(dataset[()]).reshape(()))


def read_string(file: h5py.File, name: str) -> str:
    dataset = member(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.itemsize > 1 << 16:
        return ""
    value = dataset[()]
    return value.decode(errors="replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def read_bytes(file: h5py.File, name: str, limit: int, path: str) -> bytes:
    """A dataset of bytes; empty if there is none. Raises CaffeError for anything else, and for more bytes than `limit`."""
    dataset = member(file, name)
    if dataset is None:
        return b""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.uint8 or dataset.ndim != 1 or dataset.size > limit:
        raise FileError(f"{path}: '{name}' is not an array of at most {limit} bytes")
    return np.asarray(dataset[()]).tobytes()


def read_history(file: h5py.File, path: str) -> list[np.ndarray]:
    group = member(file, "history")
    if not isinstance(group, h5py.Group):
        raise FileError(f"{path}: has no group 'history', so it is not a solver state")
    return read_arrays([(f"history {i}", member(group, str(i))) for i in range(len(group))], path)
