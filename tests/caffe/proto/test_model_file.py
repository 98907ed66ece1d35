"""Model files and mean files against protobuf's own parser and the bytes that genuine Caffe wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.caffe.model_files import TINY, all_files, as_array, message, parsed, same, same_layers
from support.reference_data import FILES, PEAK_KIB, shared_path

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, model_file


@pytest.mark.parametrize("path", all_files("*.caffemodel"))
def test_reading_agrees_with_protobuf(path: Path) -> None:
    layers, net = model_file.read_model(path), parsed(path)
    truth = net.layer or net.layers
    assert [layer.name for layer in layers] == [layer.name for layer in truth]
    for layer, expected in zip(layers, truth):
        assert len(layer.blobs) == len(expected.blobs)
        for array, blob in zip(layer.blobs, expected.blobs):
            assert same(array, as_array(blob))
            assert array.flags.writeable
            assert array.flags.aligned
    assert layers[1].type if net.layer else layers[0].type
    values = Path(f"{path}.values.npz")
    if values.exists():
        expected_values = dict(np.load(values))
        for layer in layers:
            for i, array in enumerate(layer.blobs):
                assert same(array, expected_values.pop(f"param.{layer.name}.{i}"))
        assert not expected_values


@pytest.mark.parametrize("path", all_files("*.caffemodel"))
def test_writing_gives_caffes_own_bytes(path: Path, tmp_path: Path) -> None:
    layers, net, out = model_file.read_model(path), parsed(path), tmp_path / "out.caffemodel"
    if net.layers:  # an old file: re-saved as the new kind, and as HDF5, it holds the same
        net = caffe_pb2.NetParameter(name=net.name)
        for layer in layers:
            net.layer.add(name=layer.name, type=layer.type)
        model_file.write_model(out, net, [layer.blobs for layer in layers])
        again = parsed(out)
        for layer, written in zip(layers, again.layer):
            assert written.type == layer.type
            assert all(same(a, as_array(b)) for a, b in zip(layer.blobs, written.blobs))
        model_file.write_model_hdf5(tmp_path / "out.h5", [la.name for la in layers], [la.blobs for la in layers])
        by_name = sorted(layers, key=lambda layer: layer.name)
        assert same_layers(model_file.read_model(tmp_path / "out.h5"), by_name)
    else:
        model_file.write_model(out, net, [layer.blobs for layer in layers])
        assert out.read_bytes() == path.read_bytes()
    assert same_layers(model_file.read_model(out), layers)


def test_the_v1_file_equals_the_v2_file() -> None:
    new = {layer.name: layer for layer in model_file.read_model(TINY)}
    old = model_file.read_model(FILES / "tiny_init_V1_legacyshape.caffemodel")
    assert [layer.type for layer in old] == ["Convolution", "Convolution", "Deconvolution", "Convolution"]
    for layer in old:
        for a, b in zip(layer.blobs, new[layer.name].blobs):
            assert a.ndim == 4
            assert np.array_equal(a.ravel(), b.ravel())


def test_v0_and_forks_layers_keep_their_names_and_weights(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter()
    v0 = net.layers.add(bottom=["a"]).layer
    v0.name, v0.type = "conv", "conv"
    v0.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    v1 = net.layers.add(name="inference1", blobs=[caffe_pb2.BlobProto(data=[3], shape={"dim": [1]})])
    content = net.SerializeToString() + b""
    # An unknown type number: set aside by protobuf as an unknown field, written by a fork as field 5.
    fork = v1.SerializeToString() + bytes([5 << 3, 41])
    content += bytes([2 << 3 | 2, len(fork)]) + fork
    (tmp_path / "m").write_bytes(content)
    layers = model_file.read_model(tmp_path / "m")
    assert [(la.name, la.type) for la in layers] == [("conv", "Convolution"), ("inference1", ""), ("inference1", "")]
    assert layers[0].blobs[0].shape == (1, 1, 1, 2)
    assert layers[2].blobs[0].tolist() == [3]


def test_scalars_and_empty_arrays(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter(layer=[{"name": "a"}])
    arrays = [np.float32(3), np.zeros((0, 2), np.float32), np.arange(4, dtype=np.float64)[::2]]
    model_file.write_model(tmp_path / "m", net, [arrays])
    assert [as_array(blob).tolist() for blob in parsed(tmp_path / "m").layer[0].blobs] == [3.0, [], [0.0, 2.0]]
    assert [blob.shape for blob in model_file.read_model(tmp_path / "m")[0].blobs] == [(), (0, 2), (2,)]


def test_fields_around_the_parameters_and_our_marker(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter(name="n", crop_aligns=True, force_backward=True)
    layer = net.layer.add(
        name="c", type="Convolution", bottom=["a"], top=["b"], phase=0, loss_weight=[1], propagate_down=[True]
    )
    layer.param.add(lr_mult=0)
    layer.include.add(phase=1)
    layer.convolution_param.num_output = 3
    layer.multi_stage_meanfield_param.theta_alpha = 1
    layer.blobs.add(data=[9])
    model_file.write_model(tmp_path / "m", net, [[np.ones((2, 3), np.float32)]])
    written = parsed(tmp_path / "m")
    assert as_array(written.layer[0].blobs[0]).tolist() == [[1, 1, 1], [1, 1, 1]]
    # Fields in order: serialising what was parsed gives the same bytes.
    assert written.SerializeToString(deterministic=True) == (tmp_path / "m").read_bytes()
    written.layer[0].ClearField("blobs")
    layer.ClearField("blobs")
    assert written.layer[0] == layer
    assert not written.HasField("crop_aligns")
    assert not written.HasField("force_backward")


def test_mean_files(tmp_path: Path) -> None:
    mean = model_file.read_blob_proto(FILES / "mean.binaryproto")
    assert same(mean, np.load(FILES / "mean.npy").reshape(mean.shape))
    model_file.write_blob_proto(tmp_path / "mean", mean)
    assert (tmp_path / "mean").read_bytes() == (FILES / "mean.binaryproto").read_bytes()
    model_file.write_blob_proto(tmp_path / "mean", mean[0])
    assert same(model_file.read_blob_proto(tmp_path / "mean"), mean[0])
    mnist = shared_path("caffemodels", "mean_binaryproto", "mnist_mean.binaryproto")
    truth = caffe_pb2.BlobProto.FromString(mnist.read_bytes())
    assert same(model_file.read_blob_proto(mnist), as_array(truth))


# ------------------------------------------------------------------------------------------------------------------ damage


def test_a_file_cut_anywhere_is_an_error_or_a_shorter_net(tmp_path: Path) -> None:
    content, whole, path = TINY.read_bytes(), model_file.read_model(TINY), tmp_path / "cut"
    path.write_bytes(content)
    complete = 0
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        with suppress(CaffeError):
            layers = model_file.read_model(path)
            complete += 1
            assert same_layers(layers, whole[: len(layers)])
    assert complete == len(whole) - 1


@settings(max_examples=300)
@given(position=st.integers(0, len(TINY.read_bytes()) - 1), value=st.integers(0, 255), zeros=st.integers(0, 12))
def test_changed_bytes_never_raise_anything_else(
    position: int, value: int, zeros: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(TINY.read_bytes())
    content[position] = value
    content[position + 1 : position + 1 + zeros] = b"\xff" * zeros
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(content)
    with suppress(CaffeError):
        model_file.read_model(path)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(content)
    for read in (model_file.read_model, model_file.read_blob_proto):
        with suppress(CaffeError):
            read(path)


def test_impossible_arrays_name_file_layer_and_blob(tmp_path: Path) -> None:
    blob = message(7, message(1, b"\x02\x04")) + message(5, np.zeros(6, "<f4").tobytes())
    (tmp_path / "m").write_bytes(message(100, message(1, b"lay") + message(7, blob)))
    with pytest.raises(
        CaffeError, match=rf"^{tmp_path}/m: .*layer 'lay', blob 0: its shape is 2 4 \(8 values\), but it holds 6"
    ):
        model_file.read_model(tmp_path / "m")


def test_files_that_are_no_model(tmp_path: Path) -> None:
    cases = {
        b"": "is empty",
        b'name: "net"\nlayer { }\n' * 100: "is a text file",
        b"t": "is a text file",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "Git LFS",
        b"\n<!DOCTYPE html><html>\xc3\xa9</html>": "is a web page",
        message(1, b"\x01net"): "holds no layers",
        (FILES / "mean.binaryproto").read_bytes(): "begins as a solver state or a mean file",
        (FILES / "tiny_sgd_binaryproto_iter_10.solverstate").read_bytes(): "begins as a solver state or a mean file",
        b"\x89HDF\r\n\x1a\n" + bytes(100): "HDF5",
    }
    for content, words in cases.items():
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(CaffeError, match=words):
            model_file.read_model(tmp_path / "m")
    for path, words in (
        (tmp_path, "tory|regular"),
        (tmp_path / "none", "no such file"),
        (Path("/dev/null"), "regular"),
    ):
        with pytest.raises(CaffeError, match=words):
            model_file.read_model(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_loading_needs_little_more_memory_than_the_arrays(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter(layer=[{"name": "fc6"}, {"name": "fc7"}])
    arrays = [np.ones((4096, 4608), np.float32), np.ones((4096, 1024), np.float32)]
    path = tmp_path / "big.caffemodel"
    model_file.write_model(path, net, [[array] for array in arrays])
    program = (
        f"{PEAK_KIB}\nimport sys\nfrom caffe.proto import model_file\n"
        "model_file.read_model(sys.argv[2])\nbefore = peak_kib()\n"
        "layers = model_file.read_model(sys.argv[1])\nprint(1024 * (peak_kib() - before))\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path, TINY], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1.3 * sum(array.nbytes for array in arrays)
