"""`crfasrnn model`: what its commands write, print and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import refusal, status
from support.crfasrnn.training import write_trunk
from support.reference_data import REPOSITORY

from caffe.proto.model_file import read_model, write_model_hdf5
from caffe.proto.text import read_net


def test_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = write_trunk(tmp_path / "trunk.npz")
    assert status("model", "convert", tmp_path / "trunk.npz", tmp_path / "trunk.caffemodel.h5") == 0
    assert capsys.readouterr().out == f"13 layers written to {tmp_path / 'trunk.caffemodel.h5'}\n"
    layers = read_model(tmp_path / "trunk.caffemodel.h5")
    assert {f"{layer.name}_w" for layer in layers} == {name for name in arrays if name.endswith("_w")}
    assert "cannot read" in refusal(capsys, "model", "convert", tmp_path / "none.npz", tmp_path / "x.caffemodel.h5")


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model_hdf5(tmp_path / "full.caffemodel.h5", ["conv"], [[np.ones((4, 3, 5, 5), np.float32)]])
    assert status("model", "export", tmp_path / "full.caffemodel.h5", tmp_path / "half.caffemodel.h5") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'half.caffemodel.h5'}: 0.0 MB\n"
    (layer,) = read_model(tmp_path / "half.caffemodel.h5")
    np.testing.assert_array_equal(layer.blobs[0], np.ones((4, 3, 5, 5)))
    (tmp_path / "full.caffemodel.h5").rename(tmp_path / "final.caffemodel")
    assert status("model", "export", tmp_path, tmp_path / "again.caffemodel.h5") == 0  # a training's folder
    assert (tmp_path / "again.caffemodel.h5").read_bytes() == (tmp_path / "half.caffemodel.h5").read_bytes()
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    assert "is not the folder of a training" in refusal(
        capsys, "model", "export", tmp_path / "empty", tmp_path / "x.h5"
    )
    assert "none.caffemodel" in refusal(
        capsys, "model", "export", tmp_path / "none.caffemodel", tmp_path / "x.caffemodel.h5"
    )


def test_stock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = REPOSITORY / "prototxt" / "slim" / "crfrnn_deploy.prototxt"
    assert status("model", "stock", net, tmp_path / "net.prototxt") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'net.prototxt'}\n"
    last = read_net(tmp_path / "net.prototxt").layer[-1]
    assert "num_iterations: 10" in last.python_param.param_str
    assert not last.HasField("multi_stage_meanfield_param")
    assert "none.prototxt" in refusal(capsys, "model", "stock", tmp_path / "none.prototxt", tmp_path / "x.prototxt")


@pytest.mark.parametrize("kind", ["convert", "export", "stock"])
def test_help_and_wrong_command_lines(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("model", kind, "--help") == 0
    assert "OUTPUT" in capsys.readouterr().out
    assert f"see crfasrnn model {kind} --help" in refusal(capsys, "model", kind)
