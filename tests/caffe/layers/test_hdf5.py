"""HDF5Data and HDF5Output, and against genuine Caffe's batches."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support.caffe.data_layers import EXTRAS, build
from support.disk import files_end_at
from support.reference_data import shared_path

import caffe.layers  # noqa: F401  # registers the built-in types
from caffe import mode
from caffe.errors import CaffeError
from caffe.net.net import Net

pytestmark = pytest.mark.usefixtures("compute")


def test_hdf5data_gives_the_batches_of_genuine_caffe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared_path(*EXTRAS))
    net = Net("hdf5data.prototxt", mode.TEST)
    with np.load("hdf5data.npz") as expected:
        for batch in range(len(expected["x"])):
            net.forward()
            for top in expected.files:
                np.testing.assert_array_equal(net.blobs[top].data, expected[top][batch])


def hdf5_net(listing: Path, options: str = "batch_size: 2", tops: str = 'top: "x" top: "y"') -> Net:
    return build(f'layer {{ name: "h" type: "HDF5Data" {tops} hdf5_data_param {{ source: "{listing}" {options} }} }}')


def hdf5_files(folder: Path) -> Path:
    for name, begin, rows in (("a.h5", 0, 3), ("b.h5", 3, 2)):
        with h5py.File(folder / name, "w") as file:
            file["x"] = np.arange(begin, begin + rows, dtype=np.float64)[:, None] * [1, 10]
            file["y"] = np.arange(begin, begin + rows, dtype=np.int32)
    listing = folder / "list.txt"
    listing.write_text("".join(f"{folder / name}\n" for name in ("a.h5", "b.h5")))
    return listing


def test_hdf5data_shuffles_rows_but_shows_each_once_a_round(tmp_path: Path) -> None:
    mode.set_random_seed(1)
    net = hdf5_net(hdf5_files(tmp_path), "batch_size: 5 shuffle: true")
    rounds = []
    for _ in range(8):
        net.forward()
        rounds.append(tuple(net.blobs["y"].data))
        np.testing.assert_array_equal(net.blobs["x"].data[:, 1], 10 * net.blobs["y"].data)
    assert all(sorted(rows) == [0, 1, 2, 3, 4] for rows in rounds)
    assert len(set(rounds)) > 1


def test_hdf5data_names_what_is_missing(tmp_path: Path) -> None:
    listing = hdf5_files(tmp_path)
    with pytest.raises(CaffeError, match=r"a\.h5' has no dataset 'z'; it has x, y"):
        hdf5_net(listing, tops='top: "z"')
    with pytest.raises(CaffeError, match=r"nowhere\.txt"):
        hdf5_net(tmp_path / "nowhere.txt")
    listing.write_text(f"{tmp_path / 'nowhere.h5'}\n")
    with pytest.raises(CaffeError, match=r"nowhere\.h5"):
        hdf5_net(listing)
    with h5py.File(tmp_path / "uneven.h5", "w") as file:
        file["x"], file["y"] = np.zeros((3, 2)), np.zeros(2)
    listing.write_text(f"{tmp_path / 'uneven.h5'}\n")
    with pytest.raises(CaffeError, match=r"uneven\.h5.*as many|uneven\.h5.*same number of rows"):
        hdf5_net(listing)


def test_hdf5output_appends_what_hdf5data_reads(tmp_path: Path) -> None:
    target = tmp_path / "out.h5"
    net = build(
        f"""layer {{ name: "h" type: "HDF5Data" top: "x" top: "y"
              hdf5_data_param {{ source: "{hdf5_files(tmp_path)}" batch_size: 2 }} }}
            layer {{ name: "o" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param {{ file_name: "{target}" }} }}"""
    )
    net.forward()
    net.forward()
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["data"], np.arange(4)[:, None] * [1, 10])
        np.testing.assert_array_equal(file["label"], np.arange(4))
    with files_end_at(1000), pytest.raises(CaffeError, match=r"layer 'o'.*out.h5' cannot be written: File too large"):
        net.forward()
