"""Model files in HDF5 against h5py and the files that genuine Caffe wrote."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.caffe.model_files import all_files, same, same_layers
from support.disk import files_end_at
from support.reference_data import FILES

from caffe.errors import CaffeError
from caffe.proto import hdf5_file, model_file
from caffe.proto.solver_state import SolverState, write_solver_state


@pytest.mark.parametrize("path", all_files("*.caffemodel.h5"))
def test_models(path: Path, tmp_path: Path) -> None:
    layers = model_file.read_model(path)
    out = tmp_path / "out.caffemodel"  # the content decides, not the name
    model_file.write_model_hdf5(out, [layer.name for layer in layers], [layer.blobs for layer in layers])
    assert same_layers(model_file.read_model(out), layers)
    with h5py.File(path) as caffes, h5py.File(out) as ours:
        assert sorted(caffes["data"]) == sorted(ours["data"]) == sorted(layer.name for layer in layers)
        for layer in layers:
            theirs, mine = caffes["data"][layer.name], ours["data"][layer.name]
            assert sorted(theirs) == sorted(mine) == [str(i) for i in range(len(layer.blobs))]
            for i, array in enumerate(layer.blobs):
                assert theirs[str(i)].dtype == mine[str(i)].dtype
                assert same(theirs[str(i)][()], array)
                assert same(mine[str(i)][()], array)
    values = Path(f"{path}.values.npz")
    if values.exists():
        truth = np.load(values)
        assert all(same(a, truth[f"param.{la.name}.{i}"]) for la in layers for i, a in enumerate(la.blobs))


def test_small_files_and_names_with_slashes(tmp_path: Path) -> None:
    path, ramp = tmp_path / "m.h5", np.linspace(0, 1, 1000, dtype=np.float32)
    names = ["a/1x1", "a", "crop", "crop", "7/7"]
    model_file.write_model_hdf5(path, names, [[ramp], [ramp * 2, ramp], [], [], [ramp]], dtype=np.float16, gzip=9)
    layers = {layer.name: layer.blobs for layer in model_file.read_model(path)}
    assert sorted(layers) == ["7/7", "a", "a/1x1", "crop"]
    assert same(layers["a"][0], (ramp * 2).astype(np.float16).astype(np.float32))
    assert len(layers["a/1x1"]) == len(layers["7/7"]) == 1
    with h5py.File(path) as file:
        assert file["data/a/0"].dtype == np.float16
        assert file["data/a/0"].compression == "gzip"


def test_a_cut_file_is_an_error(tmp_path: Path) -> None:
    content, path = (FILES / "tiny_sgd_hdf5_iter_10.caffemodel.h5").read_bytes(), tmp_path / "cut.h5"
    path.write_bytes(content)
    for length in reversed(range(0, len(content), 29)):
        os.truncate(path, length)
        with pytest.raises(CaffeError, match=r"cut\.h5"):
            model_file.read_model(path)


def test_hostile_files(tmp_path: Path) -> None:
    path, other = tmp_path / "m.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones(3, np.float32)

    def refused(words: str) -> None:
        with pytest.raises(CaffeError, match=rf"m\.h5: .*{words}"):
            model_file.read_model(path)

    with h5py.File(path, "w") as file:
        file.create_group("data/l")["0"] = h5py.ExternalLink(str(other), "secret")
    refused("'/data/l/0' is a link to elsewhere")
    with h5py.File(path, "w") as file:
        group = file.create_group("data/l")
        group["inner"] = group
    refused("linked twice, or into itself")
    with h5py.File(path, "w") as file:  # two ways down at each of 30 levels: 2**30 paths
        group = file.create_group("data")
        for _ in range(30):
            below = group.create_group("a")
            group["b"] = below
            group = below
    refused("linked twice")
    with h5py.File(path, "w") as file:
        file.create_group("data/l").create_dataset("0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))
    refused("claims")
    with h5py.File(path, "w") as file:
        file.create_group("data/l").create_dataset("1", data=np.ones(2))
    refused("only blobs")
    with h5py.File(path, "w") as file:
        file.create_group("data/l").create_dataset("0", data="text")
    refused("holds no numbers")
    for name in ("other", "data"):
        with h5py.File(path, "w") as file:
            file.create_group(name)
        refused("no group 'data'|holds no layers")


def test_single_values(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["seven"] = np.array([7], np.int32)
        file["half"] = np.array([0.5])
        file["word"] = np.array(b"net.caffemodel", "S15")
        file["bytes"] = np.frombuffer(b"abc", np.uint8)
    with hdf5_file.opened(tmp_path / "f.h5") as file:
        assert hdf5_file.read_scalar(file, "seven", "f") == 7
        assert hdf5_file.read_string(file, "word") == "net.caffemodel"
        assert hdf5_file.read_bytes(file, "bytes", 3, "f") == b"abc"
        assert hdf5_file.read_bytes(file, "none", 3, "f") == b""
        for name in ("half", "none"):
            with pytest.raises(CaffeError, match=f"f: has no number '{name}'"):
                hdf5_file.read_scalar(file, name, "f")
        with pytest.raises(CaffeError, match="at most 2 bytes"):
            hdf5_file.read_bytes(file, "bytes", 2, "f")


@pytest.mark.usefixtures("bounded_memory")
def test_arrays_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    """In one chunk larger than its array, by a filter used twice, and by one array under many names."""
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_group("data/l").create_dataset("0", (1,), "f4", chunks=(1 << 29,), maxshape=(None,))
    with pytest.raises(CaffeError, match=r"m\.h5: '/data/l/0' claims 536870912 values"):
        model_file.read_model(path)
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1 << 20,))
        properties.set_deflate(9)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (9,))
        space = h5py.h5s.create_simple((1 << 20,))
        h5py.h5d.create(file.create_group("data/l").id, b"0", h5py.h5t.IEEE_F32LE, space, properties)
    with pytest.raises(CaffeError, match="compressed in a way that is not read"):
        model_file.read_model(path)
    with h5py.File(path, "w") as file:
        group = file.create_group("data/l")
        group.create_dataset("0", data=np.zeros(1 << 22, np.float32), compression="gzip", compression_opts=9)
        for k in range(1, 300):
            group[str(k)] = group["0"]
    with pytest.raises(CaffeError, match=r"layer 'l', blob 16 claim 285212672 bytes; at most 268435456"):
        model_file.read_model(path)


def test_a_missing_file_is_not_called_damaged(tmp_path: Path) -> None:
    words = r"none\.h5: cannot be read: No such file or directory$"
    with pytest.raises(CaffeError, match=words), hdf5_file.opened(tmp_path / "none.h5"):
        pass


def test_a_disk_that_is_full_at_any_moment_ends_in_an_error(tmp_path: Path) -> None:
    """HDF5's library would end the process."""
    content = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    path = tmp_path / "m.caffemodel.h5"
    model_file.write_model_hdf5(path, ["a", "b"], [[content], [content[:9]]])
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        with files_end_at(size), pytest.raises(CaffeError, match=r"m.caffemodel.h5: cannot be written: File too large"):
            model_file.write_model_hdf5(path, ["a", "b"], [[content], [content[:9]]])
    assert path.read_bytes() == whole
    state = SolverState(1, "m", 0, [content])
    with files_end_at(8000), pytest.raises(CaffeError, match=r"s.solverstate.h5: cannot be written: File too large"):
        write_solver_state(tmp_path / "s.solverstate.h5", state)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
