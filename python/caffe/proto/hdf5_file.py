"""Model and solver-state files in HDF5: /data/<layer>/<i>; /iter, /learned_net, /current_step, /history/<i>."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from caffe.errors import CaffeError, FileError

_MAX_DEPTH = 32
# deflate shrinks to 1/1032 at best; more than that claimed by a file is made up to exhaust the memory.
_MAX_RATIO = 1100


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """The file, for reading; h5py's many kinds of errors for damaged files become one CaffeError that names the file."""
    name = os.fspath(path)
    try:
        with h5py.File(name, "r") as file:
            yield file
    except CaffeError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, OverflowError, MemoryError) as error:
        raise FileError(f"{name}: damaged HDF5 file, or not the kind of file that is needed: {error}") from error


def read_layers(file: h5py.File, path: str) -> list[tuple[str, list[np.ndarray]]]:
    """(layer name, its arrays as float32) for every group below /data, in the file's order."""
    data = member(file, "data")
    if not isinstance(data, h5py.Group):
        raise FileError(f"{path}: has no group 'data', so it is not a model file")
    layers: list[tuple[str, list[np.ndarray]]] = []
    _collect(data, "", path, layers, set(), 0)
    return layers


def _collect(
    group: h5py.Group, prefix: str, path: str, layers: list[tuple[str, list[np.ndarray]]], seen: set[Any], depth: int
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
            layers.append(
                (name, [read_array(arrays[i], path, f"layer '{name}', blob {i}") for i in range(len(arrays))])
            )
        if len(arrays) < len(child):
            _collect(child, name + "/", path, layers, seen, depth + 1)


def member(group: h5py.Group, key: str) -> Any:
    """A member, None if there is none. Links to other files are refused: they would read whatever the author named."""
    link = group.get(key, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise FileError(f"{group.file.filename}: '{group.name}/{key}' is a link to elsewhere, not an array")
    return group[key] if link is not None else None


def read_array(dataset: Any, path: str, what: str) -> np.ndarray:
    """A dataset of real numbers as float32. Raises CaffeError for anything else and for sizes the file cannot hold."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiu":
        raise FileError(f"{path}: {what} is missing or holds no numbers")
    if dataset.is_virtual or dataset.external:
        raise FileError(f"{path}: {what} lies in another file")
    stored = dataset.id.get_storage_size()
    if dataset.size * dataset.dtype.itemsize > _MAX_RATIO * stored + 1024:
        raise FileError(f"{path}: {what} claims {dataset.size} values in {stored} bytes")
    with np.errstate(over="ignore"):
        return np.asarray(dataset[()], dtype=np.float32)


def write_layers(
    data: h5py.Group,
    layer_names: Sequence[str],
    blobs: Sequence[Sequence[np.ndarray]],
    dtype: DTypeLike = np.float32,
    gzip: int | None = None,
) -> None:
    """Write the arrays of every layer below the group `data`; a layer without arrays becomes an empty group."""
    for name, arrays in zip(layer_names, blobs):
        # Several layers without parameters may share a name (a well-known published net has three called "crop").
        if name in data and arrays and any(key.isdigit() for key in data[name]):
            raise FileError(f"two layers with parameters are called '{name}': HDF5 cannot hold both")
        group = data.require_group(name)
        for index, array in enumerate(arrays):
            write_array(group, str(index), array, dtype, gzip)


def write_array(
    group: h5py.Group, name: str, array: np.ndarray, dtype: DTypeLike = np.float32, gzip: int | None = None
) -> None:
    values = np.asarray(array).astype(dtype, copy=False)
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
    if dataset.is_virtual or dataset.external:
        raise FileError(f"{path}: '{name}' lies in another file")
    return np.asarray(dataset[()]).tobytes()


def read_history(file: h5py.File, path: str) -> list[np.ndarray]:
    group = member(file, "history")
    if not isinstance(group, h5py.Group):
        raise FileError(f"{path}: has no group 'history', so it is not a solver state")
    return [read_array(member(group, str(i)), path, f"history {i}") for i in range(len(group))]
