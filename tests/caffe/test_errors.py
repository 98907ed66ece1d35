"""Errors about files are OSErrors too, whoever raises them and through whatever they pass on their way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import caffe
from caffe.data.db import open_database
from caffe.data.image_list import read_list
from caffe.data.mean import read_mean
from caffe.errors import CaffeError, FileError
from caffe.files import write_text
from caffe.proto import model_file, solver_state, text
from crfasrnn.claims import remembered
from crfasrnn.datasets.lists import read_lines
from crfasrnn.networks.state_dicts import read_state_dict
from crfasrnn.networks.weight_files import read_arrays
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image
from crfasrnn.postprocessing.probabilities import read_probabilities


def net_of(layer: str) -> Callable[[Path], object]:
    """Builds a net of one layer that reads a file."""

    def build(path: Path) -> object:
        definition = text.parse_net(f'layer {{ name: "d" top: "d" {layer.replace("PATH", str(path))} }}')
        return caffe.Net(definition, caffe.TEST).forward()

    return build


READERS: dict[str, Callable[[Path], object]] = {
    "image": caffe.io.load_image,
    "photograph": read_image,
    "label map": read_labels,
    "prototxt": lambda path: caffe.Net(path, caffe.TEST),
    "solver": caffe.get_solver,
    "caffemodel": model_file.read_model,
    "solver state": solver_state.read_solver_state,
    "HDF5 state": lambda path: solver_state.read_solver_state(path.with_suffix(".h5")),
    "mean": read_mean,
    "database": open_database,
    "image list": read_list,
    "list": read_lines,
    "facts": remembered,
    "trunk": read_arrays,
    "state dict": read_state_dict,
    "probabilities": read_probabilities,
    "Data": net_of('type: "Data" data_param { source: "PATH" batch_size: 1 }'),
    "ImageData": net_of('type: "ImageData" image_data_param { source: "PATH" batch_size: 1 }'),
    "HDF5Data": net_of('type: "HDF5Data" hdf5_data_param { source: "PATH" batch_size: 1 }'),
    "WindowData": net_of(
        'type: "WindowData" top: "l" window_data_param { source: "PATH" } transform_param { crop_size: 4 }'
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_what_cannot_be_read_is_an_os_error_that_names_the_file(kind: str, tmp_path: Path) -> None:
    missing, damaged = tmp_path / "missing", tmp_path / "damaged"
    for path in (missing, damaged):
        with pytest.raises(OSError, match=path.name) as caught:
            READERS[kind](path)
        assert isinstance(caught.value, CaffeError)
        damaged.write_bytes(b"\x07\xff\0 nothing of this kind")
        damaged.with_suffix(".h5").write_bytes(b"no HDF5")


def test_what_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { } } }'
    )
    net = caffe.Net(tmp_path / "n.prototxt", caffe.TEST)
    nowhere = tmp_path / "no folder" / "file"
    for write in (net.save, net.save_hdf5, lambda path: write_text(path, "text")):
        with pytest.raises(OSError, match="no folder") as caught:
            write(nowhere)
        assert isinstance(caught.value, CaffeError)


def test_other_errors_are_no_os_errors(tmp_path: Path) -> None:
    with pytest.raises(CaffeError) as caught:
        net_of('type: "ReLU" bottom: "x"')(tmp_path)
    assert not isinstance(caught.value, OSError)


def test_retold_errors_keep_their_kind() -> None:
    for kind in (CaffeError, FileError, text.PrototxtError):
        again = kind("line 3").retold("list.txt: line 3")
        assert type(again) is kind
        assert str(again) == "list.txt: line 3"


@pytest.mark.parametrize("kind", [CaffeError, FileError])
def test_a_message_stays_readable(kind: type[CaffeError]) -> None:
    """Whatever a damaged file brings into it."""
    assert str(kind("no file 'x'")) == "no file 'x'"
    told = str(kind(f"cannot read 'x': {'y' * 1_000_000} differ"))
    assert len(told) <= 4000
    assert told.startswith("cannot read 'x': yyy")
    assert " ... y" in told
    assert told.endswith("yyy differ")
