"""Model files, solver states and mean files against protobuf's own parser, h5py and the bytes that genuine Caffe wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference_data import PEAK_KIB, SHARED, TESTS, shared_path

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, model_file, wire
from caffe.proto.model_file import LayerBlobs, SolverState

GOLDEN = TESTS / "golden" / "files"
TINY = GOLDEN / "tiny_init.caffemodel"


def all_files(pattern: str) -> list[Any]:
    """The small copies, and every file of that kind that genuine Caffe wrote for us."""
    folders = [SHARED / "golden" / "files", *sorted((SHARED / "caffemodels").glob("*"))]
    more = [path for folder in folders for path in sorted(folder.glob(pattern)) if not (GOLDEN / path.name).exists()]
    return [pytest.param(path, id=path.name) for path in [*sorted(GOLDEN.glob(pattern)), *more]]


def parsed(path: Path) -> Any:
    return caffe_pb2.NetParameter.FromString(path.read_bytes())


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype == np.float32 and a.shape == b.shape and a.tobytes() == b.tobytes()


def as_array(blob: Any) -> np.ndarray:
    """What protobuf's own parser says of a BlobProto."""
    shape = (blob.num, blob.channels, blob.height, blob.width) if blob.HasField("num") else tuple(blob.shape.dim)
    return np.array(blob.data, np.float32).reshape(shape)


def same_layers(a: list[LayerBlobs], b: list[LayerBlobs]) -> bool:
    return [x.name for x in a] == [y.name for y in b] and all(
        len(x.blobs) == len(y.blobs) and all(map(same, x.blobs, y.blobs)) for x, y in zip(a, b)
    )


# ------------------------------------------------------------------------------------------------------------------ protobuf


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
    old = model_file.read_model(GOLDEN / "tiny_init_V1_legacyshape.caffemodel")
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


def message(number: int, content: bytes) -> bytes:
    return wire.encode_bytes(number, content)


def model_of(blob: bytes, tmp_path: Path) -> np.ndarray:
    (tmp_path / "m").write_bytes(message(100, message(1, b"lay") + message(7, blob)))
    return model_file.read_model(tmp_path / "m")[0].blobs[0]


@given(
    values=st.lists(st.floats(width=32, allow_nan=False), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    packed=st.booleans(),
    double=st.booleans(),
)
def test_every_spelling_of_an_array(
    values: list[float], cuts: list[int], packed: bool, double: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Packed or not, in one run or several with other fields between, float or double: protobuf takes them all, so do we."""
    dtype, number, width = ("<f8", 8, 1) if double else ("<f4", 5, 5)
    array = np.array(values, dtype)
    blob = message(7, message(1, wire.encode_varint(len(values))))
    for part in np.split(array, sorted(min(cut, len(values)) for cut in cuts)):
        if packed:
            blob += message(number, part.tobytes())
        else:
            blob += b"".join(bytes([number << 3 | width]) + value.tobytes() for value in part)
        blob += message(6, np.zeros(2, "<f4").tobytes())  # diff
    reference = caffe_pb2.BlobProto.FromString(blob)
    result = model_of(blob, tmp_path_factory.mktemp("m"))
    assert result.shape == tuple(reference.shape.dim)
    expected = np.array(reference.double_data if double else reference.data, dtype).astype(np.float32)
    assert np.array_equal(result, expected)


def test_scalars_and_empty_arrays(tmp_path: Path) -> None:
    assert model_of(message(5, np.array([2.5], "<f4").tobytes()), tmp_path).shape == ()
    assert model_of(message(7, message(1, b"\x03\x00")), tmp_path).shape == (3, 0)
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
    for read in (model_file.read_model, model_file.read_solver_state, model_file.read_blob_proto):
        with suppress(CaffeError):
            read(path)


VALUES = message(5, np.zeros(6, "<f4").tobytes())


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (message(7, message(1, b"\x02\x04")) + VALUES, r"its shape is 2 4 \(8 values\), but it holds 6"),
        (message(7, message(1, wire.encode_varint(-2) + wire.encode_varint(-3))) + VALUES, "negative dimension"),
        (message(7, message(1, b"\x01" * 32 + b"\x06")) + VALUES, "more than 32 dimensions"),
        (message(7, message(1, wire.encode_varint(2**62) * 2)) + VALUES, "values"),
        (message(7, message(1, wire.encode_varint(2**62) * 3 + b"\0")), "impossible"),
        (message(5, b"12345"), "no multiple of 4"),
        (b"\x2a\xff\xff\xff\xff\x7f", "34359738367 bytes, but only 0 are left"),
        (b"\x08\xfe", "in the middle of a number"),
        (b"\x2a" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (VALUES, "scalar"),
    ],
)
def test_impossible_arrays_name_the_layer(blob: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=rf"^{tmp_path}/m: .*layer 'lay', blob 0: .*{words}"):
        model_of(blob, tmp_path)


def test_files_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        b"": "is empty",
        b'name: "net"\nlayer { }\n' * 100: "is a text file",
        b"t": "is a text file",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "Git LFS",
        b"\n<!DOCTYPE html><html>\xc3\xa9</html>": "is a web page",
        message(1, b"\x01net"): "holds no layers",
        (GOLDEN / "mean.binaryproto").read_bytes(): "field 1 at byte 0 has wire type 0",
        (GOLDEN / "tiny_sgd_binaryproto_iter_10.solverstate").read_bytes(): "not a caffemodel",
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
    monkeypatch.setattr(wire, "_MAX_FIELDS", 1000)
    (tmp_path / "m").write_bytes(b"\x28\x01" * 2000)
    with pytest.raises(CaffeError, match="too many fields"):
        model_file.read_model(tmp_path / "m")


def test_writing_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = caffe_pb2.NetParameter(layer=[{"name": "a"}])
    with pytest.raises(CaffeError, match="1 layers, but parameters for 2"):
        model_file.write_model(tmp_path / "m", net, [[], []])
    with pytest.raises(CaffeError, match="cannot be written"):
        model_file.write_model(tmp_path / "none" / "m", net, [[]])
    (tmp_path / "m").write_text("old")
    monkeypatch.setattr(model_file, "_MAX_PROTOBUF", 50)
    with pytest.raises(CaffeError, match="HDF5 instead"):
        model_file.write_model(tmp_path / "m", net, [[np.zeros(100)]])
    same_name = [[np.zeros(1)], [np.zeros(1)]]
    with pytest.raises(CaffeError, match="two layers with parameters are called 'a'"):
        model_file.write_model_hdf5(tmp_path / "m", ["a", "a"], same_name)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_text() == "old"


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


# ------------------------------------------------------------------------------------------------------------------ HDF5


@pytest.mark.parametrize("path", all_files("*.caffemodel.h5"))
def test_hdf5_models(path: Path, tmp_path: Path) -> None:
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


def test_small_hdf5_and_names_with_slashes(tmp_path: Path) -> None:
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


def test_a_cut_hdf5_file_is_an_error(tmp_path: Path) -> None:
    for name, read in (
        ("tiny_sgd_hdf5_iter_10.caffemodel.h5", model_file.read_model),
        ("tiny_sgd_hdf5_iter_10.solverstate.h5", model_file.read_solver_state),
    ):
        content, path = (GOLDEN / name).read_bytes(), tmp_path / "cut.h5"
        path.write_bytes(content)
        for length in reversed(range(0, len(content), 29)):
            os.truncate(path, length)
            with pytest.raises(CaffeError, match=r"cut\.h5"):
                read(path)


def test_hostile_hdf5(tmp_path: Path) -> None:
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


# ------------------------------------------------------------------------------------------------------------------ states, means


@pytest.mark.parametrize("path", all_files("*.solverstate"))
def test_solver_states(path: Path, tmp_path: Path) -> None:
    state, truth = model_file.read_solver_state(path), caffe_pb2.SolverState.FromString(path.read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (truth.iter, truth.learned_net, truth.current_step)
    assert len(state.history) == len(truth.history) > 0
    assert all(same(a, as_array(b)) for a, b in zip(state.history, truth.history))
    model_file.write_solver_state(tmp_path / "out.solverstate", state)
    if not truth.history[0].HasField("num"):
        assert (tmp_path / "out.solverstate").read_bytes() == path.read_bytes()
    model_file.write_solver_state(tmp_path / "out.solverstate.h5", state)
    again = model_file.read_solver_state(tmp_path / "out.solverstate.h5")
    assert (again.iter, again.learned_net, again.current_step) == (state.iter, state.learned_net, state.current_step)
    assert all(map(same, again.history, state.history))


@pytest.mark.parametrize("path", all_files("*.solverstate.h5"))
def test_hdf5_solver_states(path: Path, tmp_path: Path) -> None:
    state, out = model_file.read_solver_state(path), tmp_path / "out.h5"
    model_file.write_solver_state(out, state)
    with h5py.File(path) as caffes, h5py.File(out) as ours:
        for name in ("iter", "current_step", "learned_net"):
            assert caffes[name].dtype == ours[name].dtype
            assert caffes[name].shape == ours[name].shape
            assert np.array_equal(caffes[name][()], ours[name][()])
        assert sorted(caffes["history"]) == sorted(ours["history"])
        assert all(same(caffes["history"][key][()], ours["history"][key][()]) for key in caffes["history"])
        assert all(same(caffes["history"][str(i)][()], array) for i, array in enumerate(state.history))


def test_wrong_solver_states(tmp_path: Path) -> None:
    for source, words in ((TINY, "not a solver state"), (GOLDEN / "mean.binaryproto", "not a solver state")):
        with pytest.raises(CaffeError, match=words):
            model_file.read_solver_state(source)
    with pytest.raises(CaffeError, match="has no number 'iter'"):
        model_file.read_solver_state(GOLDEN / "tiny_sgd_hdf5_iter_10.caffemodel.h5")
    content = (GOLDEN / "tiny_sgd_binaryproto_iter_10.solverstate").read_bytes()
    (tmp_path / "cut").write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(tmp_path / "cut", length)
        with suppress(CaffeError):
            assert model_file.read_solver_state(tmp_path / "cut").iter == 10
    state = SolverState(-1, "", 2**31 - 1, [])
    model_file.write_solver_state(tmp_path / "s", state)
    assert model_file.read_solver_state(tmp_path / "s") == state


def test_mean_files(tmp_path: Path) -> None:
    mean = model_file.read_blob_proto(GOLDEN / "mean.binaryproto")
    assert same(mean, np.load(GOLDEN / "mean.npy").reshape(mean.shape))
    model_file.write_blob_proto(tmp_path / "mean", mean)
    assert (tmp_path / "mean").read_bytes() == (GOLDEN / "mean.binaryproto").read_bytes()
    model_file.write_blob_proto(tmp_path / "mean", mean[0])
    assert same(model_file.read_blob_proto(tmp_path / "mean"), mean[0])
    mnist = shared_path("caffemodels", "mean_binaryproto", "mnist_mean.binaryproto")
    truth = caffe_pb2.BlobProto.FromString(mnist.read_bytes())
    assert same(model_file.read_blob_proto(mnist), as_array(truth))
