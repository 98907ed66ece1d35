"""Weights from NumPy and in half precision, in nets and files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from support.crfasrnn.training import write_trunk
from support.crfasrnn.vgg16 import narrow_vgg16

import caffe
from caffe.errors import CaffeError
from caffe.proto.model_file import read_model, write_model_hdf5
from crfasrnn.networks import prototxts
from crfasrnn.networks.weight_files import convert_trunk, export_half, read_arrays, read_weights


def test_the_trunk_loads_into_the_slim_net(tmp_path: Path) -> None:
    arrays = write_trunk(tmp_path / "trunk.npz")
    assert convert_trunk(tmp_path / "trunk.npz", tmp_path / "trunk.caffemodel.h5") == 13
    (tmp_path / "deploy.prototxt").write_text(prototxts.files()["slim/fcn8s_deploy.prototxt"])
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), str(tmp_path / "trunk.caffemodel.h5"), caffe.TEST)
    for name in ("conv1_1", "conv3_3", "conv5_3"):
        np.testing.assert_array_equal(net.params[name][0].data, arrays[f"{name}_w"].astype(np.float32))
        np.testing.assert_array_equal(net.params[name][1].data, arrays[f"{name}_b"].astype(np.float32))


def test_the_convolutions_of_a_state_dict_and_of_a_caffemodel_become_the_same_file(tmp_path: Path) -> None:
    torch.save(narrow_vgg16().state_dict(), tmp_path / "vgg16.PTH")
    layers = read_weights(tmp_path / "vgg16.PTH")
    assert [layer.name for layer in layers[-2:]] == ["fc6", "fc7"]
    assert convert_trunk(tmp_path / "vgg16.PTH", tmp_path / "first.caffemodel.h5") == 13
    names, blobs = [layer.name for layer in layers], [layer.blobs for layer in layers]
    write_model_hdf5(tmp_path / "whole.caffemodel.h5", ["relu", *names], [[], *blobs])
    assert convert_trunk(tmp_path / "whole.caffemodel.h5", tmp_path / "second.caffemodel.h5") == 13
    first, second = (read_model(tmp_path / f"{name}.caffemodel.h5") for name in ("first", "second"))
    assert [layer.name for layer in first] == [layer.name for layer in second]
    assert all(np.array_equal(a.blobs[0], b.blobs[0]) for a, b in zip(first, second, strict=True))
    write_model_hdf5(tmp_path / "head.caffemodel.h5", ["fc6"], [blobs[-2]])
    with pytest.raises(CaffeError, match=r"no layer conv1_1 .* not VGG-16"):
        convert_trunk(tmp_path / "head.caffemodel.h5", tmp_path / "third.caffemodel.h5")


def test_files_that_are_not_a_trunk_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.savez(tmp_path / "objects.npz", x_w=np.array([{}]), x_b=np.zeros(1))
    (tmp_path / "text.npz").write_text("nothing")
    for name, message in (
        ("other.npz", "pairs of arrays"),
        ("objects.npz", "cannot read"),  # which would be code of strangers
        ("text.npz", "cannot read"),
        ("none.npz", "cannot read"),
    ):
        with pytest.raises(CaffeError, match=message):
            read_arrays(tmp_path / name)
        with pytest.raises(CaffeError, match=message):
            convert_trunk(tmp_path / name, tmp_path / "out.caffemodel.h5")
    assert not (tmp_path / "out.caffemodel.h5").exists()


def test_exported_weights_are_half_precision_and_load(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((4, 3, 5, 5)).astype(np.float32)
    write_model_hdf5(tmp_path / "full.caffemodel.h5", ["conv", "relu"], [[weights, weights[:, 0, 0, 0]], []])
    export_half(tmp_path / "full.caffemodel.h5", tmp_path / "half.caffemodel.h5")
    (layer,) = read_model(tmp_path / "half.caffemodel.h5")
    assert layer.name == "conv"
    np.testing.assert_array_equal(layer.blobs[0], weights.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(layer.blobs[1], weights[:, 0, 0, 0])
    with h5py.File(tmp_path / "half.caffemodel.h5") as file:
        assert file["data/conv/0"].dtype == np.float16
        assert file["data/conv/0"].compression == "gzip"


@pytest.mark.parametrize("value", [1e6, np.nan, -np.inf])
def test_weights_beyond_half_precision_are_refused(tmp_path: Path, value: float) -> None:
    write_model_hdf5(tmp_path / "full.caffemodel.h5", ["conv"], [[np.array([value], np.float32)]])
    with pytest.raises(CaffeError, match="layer 'conv', blob 0, holds values beyond float16"):
        export_half(tmp_path / "full.caffemodel.h5", tmp_path / "half.caffemodel.h5")
    assert not (tmp_path / "half.caffemodel.h5").exists()


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    arrays = write_trunk(tmp_path / "trunk.npz")
    assert convert_trunk(tmp_path / "trunk.npz", tmp_path / "again.npz") == 13
    with np.load(tmp_path / "again.npz") as again:
        assert set(again) == set(arrays)
        assert all(np.array_equal(again[name], arrays[name].astype(np.float32)) for name in arrays)
    for name in ("trunk.caffemodel", "trunk", "trunk.pth"):
        with pytest.raises(CaffeError, match=rf"{name}'.* must end in \.h5 or \.npz"):
            convert_trunk(tmp_path / "trunk.npz", tmp_path / name)
    with pytest.raises(CaffeError, match=r"must end in \.h5$"):
        export_half(tmp_path / "trunk.caffemodel.h5", tmp_path / "half.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"trunk.npz", "again.npz"}
