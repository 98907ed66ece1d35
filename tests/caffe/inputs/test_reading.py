"""Files are read whole, within a limit; what has no end is refused at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import caffe
from caffe.data.image_list import read_list
from caffe.errors import CaffeError
from caffe.inputs.reading import open_regular, read_bytes, read_text
from caffe.proto import model_file, text
from caffe.proto.solver_state import read_solver_state
from crfasrnn.datasets.lists import read_lines
from crfasrnn.networks.state_dicts import read_state_dict
from crfasrnn.networks.weight_files import read_trunk
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image
from crfasrnn.postprocessing.probabilities import read_probabilities


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\r\nb\rc\n")
    assert read_bytes(path, 7) == b"a\r\nb\rc\n"
    assert read_text(path, 7) == "a\nb\nc\n"
    with pytest.raises(OSError, match="more than 6 bytes"):
        read_bytes(path, 6)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none", 6)


def data_layer(kind: str, param: str) -> Callable[[str], object]:
    """Sets a net up whose data come from the path."""
    definition = (
        f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {param} {{ source: "%s" batch_size: 1 }} }}'
    )
    return lambda path: caffe.Net(text.parse_net(definition % path), caffe.TRAIN)


READERS: dict[str, Callable[[str], object]] = {
    "prototxt": text.read_net,
    "model": model_file.read_model,
    "HDF5 state": lambda path: read_solver_state(path),
    "image list": read_list,
    "list of names": lambda path: read_lines(Path(path)),
    "photograph": read_image,
    "load_image": caffe.io.load_image,
    "label map": read_labels,
    "weights": read_trunk,
    "state dict": read_state_dict,
    "probabilities": read_probabilities,
    "Data": data_layer("Data", "data_param"),
    "ImageData": data_layer("ImageData", "image_data_param"),
    "WindowData": data_layer("WindowData", "transform_param { crop_size: 4 } window_data_param"),
    "HDF5Data": data_layer("HDF5Data", "hdf5_data_param"),
}


@pytest.mark.parametrize("name", READERS)
def test_devices_and_pipes_are_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero"):
        with pytest.raises(CaffeError, match=r"not a regular file|neither"):
            READERS[name](path)


def test_text_of_windows_editors_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("a\r\nü\r\n".encode("utf-8-sig"))
    assert read_text(path, 99) == "a\nü\n"
    lists = ["prototxt", "image list", "list of names", "WindowData", "HDF5Data"]
    for order, mark in (("utf-16", ""), ("utf-16-be", "\ufeff"), ("utf-16-le", ""), ("utf-16-be", "")):
        path.write_bytes(f"{mark}abc\r\n".encode(order))
        for name in lists:
            with pytest.raises(CaffeError, match="is not UTF-8 text: it is UTF-16, save it as UTF-8"):
                READERS[name](str(path))


def test_the_number_of_an_open_file_is_no_path() -> None:
    for number in (0, 1, True):
        with pytest.raises(TypeError, match=r"expected str, bytes or os.PathLike object, not"):
            read_bytes(number, 10)  # type: ignore[arg-type]
