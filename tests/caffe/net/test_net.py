"""Net and Blob: what pycaffe users and Caffe's own construction rules expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import CaffeError

pytestmark = pytest.mark.usefixtures("compute")

CONV = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "a" type: "Convolution" bottom: "conv" top: "a" convolution_param { num_output: 2 kernel_size: 1
  weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "conv" top: "sum" }
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "net.prototxt") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_names_splits_and_order(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    assert net._layer_names == ["data", "conv", "relu", "conv_relu_0_split", "a", "sum"]
    assert list(net.blobs) == ["data", "conv", *(f"conv_relu_0_split_{k}" for k in range(3)), "a", "sum"]
    assert net.inputs == ["data"]
    assert net.outputs == ["a", "sum"]
    assert list(net.params) == ["conv", "a"]
    assert [p.data.shape for p in net.params["conv"]] == [(4, 3, 3, 3), (4,)]
    assert net.top_names["conv_relu_0_split"] == [f"conv_relu_0_split_{k}" for k in range(3)]
    assert net.bottom_names["sum"] == ["conv_relu_0_split_1", "conv_relu_0_split_2"]
    assert [layer.type for layer in net.layers][:3] == ["Input", "Convolution", "ReLU"]


def test_forward_against_numpy(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5, 6)).astype(np.float32)
    net.params["conv"][1].data[...] = [0.1, -0.2, 0.3, 0]
    out = net.forward(data=x)
    weight, bias = (p.data for p in net.params["conv"])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    conv = np.maximum(np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None], 0)
    np.testing.assert_allclose(out["sum"], 2 * conv, atol=1e-5)
    np.testing.assert_allclose(
        out["a"], np.einsum("nchw,oc->nohw", conv, net.params["a"][0].data[:, :, 0, 0]), atol=1e-5
    )


def test_views_stay_current_and_are_writable(write, compute: str) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    data, result = net.blobs["data"].data, net.blobs["a"].data

    def forward() -> None:
        net.forward()
        if compute != "cpu":
            # Elsewhere a view is brought up to date when the blob is asked for its data, as in Caffe.
            assert all(net.blobs[name].data is not None for name in ("data", "a"))

    data[...] = 1
    forward()
    first = result.copy()
    assert first.any()
    data[...] = -2
    forward()
    assert not np.array_equal(result, first)
    assert result is not net.blobs["a"].data
    np.testing.assert_array_equal(result, net.blobs["a"].data)


def test_in_place_with_a_view_and_backward(write) -> None:
    text = "force_backward: true\n" + CONV.replace('type: "ReLU"', 'type: "ELU"')
    seen, unseen = caffe.Net(write(text), caffe.TEST), caffe.Net(write(text), caffe.TEST)
    unseen.share_with(seen)
    assert seen.blobs["conv"].data.shape == (2, 4, 5, 6)
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 6))
    for net in (seen, unseen):
        net.forward(data=x)
        net.blobs["a"].diff[...] = 1
        net.blobs["sum"].diff[...] = 0.5
        net.backward()
    np.testing.assert_array_equal(seen.blobs["data"].diff, unseen.blobs["data"].diff)
    assert seen.blobs["data"].diff.any()


def test_partial_forward_and_backward(write) -> None:
    net = caffe.Net(write("force_backward: true\n" + CONV), caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(2).normal(size=(2, 3, 5, 6))
    whole = {name: value.copy() for name, value in net.forward().items()}
    net.blobs["conv"].data[...] = 0
    assert not net.forward(start="conv_relu_0_split", end="a")["a"].any()
    assert set(net.forward(end="conv")) == {"conv"}
    np.testing.assert_array_equal(net.forward(start="relu")["sum"], whole["sum"])
    net.blobs["sum"].diff[...] = 1
    net.blobs["a"].diff[...] = 0
    assert set(net.backward(end="relu")) == {"conv"}
    with pytest.raises(ValueError, match="no layer named 'nope'"):
        net.forward(end="nope")


def test_parameter_diffs_accumulate_until_cleared(write) -> None:
    net = caffe.Net(write("force_backward: true\n" + CONV), caffe.TEST)
    net.blobs["data"].data[...] = 1
    net.forward()
    net.blobs["a"].diff[...] = 1
    net.backward()
    once = net.params["a"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["a"][0].diff, 2 * once, rtol=1e-6)
    net.clear_param_diffs()
    assert not net.params["a"][0].diff.any()


def test_reshape_to_any_size(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    net.blobs["data"].reshape(1, 3, 9, 4)
    net.reshape()
    assert net.blobs["sum"].data.shape == (1, 4, 9, 4)
    assert net.forward(data=np.ones((1, 3, 9, 4)))["a"].shape == (1, 2, 9, 4)


def test_forward_all_pads_the_last_batch(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    x = np.random.default_rng(3).normal(size=(5, 3, 5, 6)).astype(np.float32)
    out = net.forward_all(data=x, blobs=["conv"])
    assert out["a"].shape[0] == out["conv"].shape[0] == 5
    np.testing.assert_array_equal(out["a"][2:4], net.forward(data=x[2:4])["a"])


def test_wrong_inputs_are_named(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    with pytest.raises(ValueError, match="do not match net inputs"):
        net.forward(image=np.zeros(3))
    with pytest.raises(ValueError, match=r"reshape\(2, 3, 9, 9\) first"):
        net.forward(data=np.zeros((2, 3, 9, 9)))
    with pytest.raises(TypeError, match="phase"):
        caffe.Net(write(CONV))


def test_weights_round_trip_and_mismatches(write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = caffe.Net(write(CONV), caffe.TEST)
    for suffix, save in ((".caffemodel", source.save), (".caffemodel.h5", source.save_hdf5)):
        save(str(tmp_path / f"w{suffix}"))
        other = caffe.Net(write(CONV), str(tmp_path / f"w{suffix}"), caffe.TEST)
        for name in source.params:
            for ours, theirs in zip(source.params[name], other.params[name]):
                np.testing.assert_array_equal(ours.data, theirs.data)
    wrong = write(CONV.replace("num_output: 4", "num_output: 5"), "wrong.prototxt")
    words = "Cannot copy param 0 weights from layer 'conv'; shape mismatch.  Source param shape is 4 3 3 3 \\(108\\); target"
    with pytest.raises(CaffeError, match=words):
        caffe.Net(wrong, str(tmp_path / "w.caffemodel"), caffe.TEST)
    nobody = write(CONV.replace('name: "conv"', 'name: "c"').replace('name: "a"', 'name: "b"'), "nobody.prototxt")
    with pytest.raises(CaffeError, match="no layer of this file is in the net"):
        caffe.Net(nobody, str(tmp_path / "w.caffemodel"), caffe.TEST)
    renamed = write(CONV.replace('name: "a"', 'name: "new"'), "renamed.prototxt")
    with caplog.at_level("WARNING", "caffe"):
        caffe.Net(renamed, str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert "has no weights for: new" in caplog.text


def test_zero_deconvolution_becomes_diagonal_bilinear(write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = CONV + (
        'layer { name: "up" type: "Deconvolution" bottom: "a" top: "up" '
        "convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false } }"
    )
    source = caffe.Net(write(CONV), caffe.TEST)
    source.save(str(tmp_path / "w.caffemodel"))
    with caplog.at_level("WARNING", "caffe"):
        net = caffe.Net(write(text, "up.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert "all-zero weights" in caplog.text
    ramp = np.array([0.25, 0.75, 0.75, 0.25])
    weight = net.params["up"][0].data
    np.testing.assert_allclose(weight[0, 0], np.outer(ramp, ramp))
    assert not weight[0, 1].any()


def test_rules_choose_layers_by_phase_and_stage(write) -> None:
    text = """
      layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }
      layer { name: "train" type: "ReLU" bottom: "d" top: "train" include { phase: TRAIN } }
      layer { name: "test" type: "ReLU" bottom: "d" top: "test" include { phase: TEST } }
      layer { name: "deploy" type: "ReLU" bottom: "d" top: "deploy" include { stage: "deploy" } }
      layer { name: "low" type: "ReLU" bottom: "d" top: "low" exclude { min_level: 2 } }
      layer { name: "mid" type: "ReLU" bottom: "d" top: "mid" include { max_level: 1 not_stage: "deploy" } }
    """
    path = write(text)
    assert caffe.Net(path, caffe.TRAIN).outputs == ["low", "mid", "train"]
    assert caffe.Net(path, caffe.TEST, stages=["deploy"]).outputs == ["deploy", "low", "test"]
    assert caffe.Net(path, caffe.TEST, level=2).outputs == ["test"]


def test_shared_parameters_are_one(write) -> None:
    text = """
      layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
      layer { name: "one" type: "Convolution" bottom: "d" top: "one" param { name: "w" lr_mult: 3 } convolution_param {
        num_output: 2 kernel_size: 1 bias_term: false weight_filler { type: "gaussian" std: 1 } } }
      layer { name: "two" type: "Convolution" bottom: "one" top: "two" param { name: "w" } convolution_param {
        num_output: 2 kernel_size: 1 bias_term: false } }
    """
    net = caffe.Net(write(text), caffe.TEST)
    assert len(net.learnable) == 1
    assert net.lr_mult == [3]
    net.params["two"][0].data[...] = 7
    assert (net.params["one"][0].data == 7).all()
    wrong = text.replace(
        "num_output: 2 kernel_size: 1 bias_term: false }", "num_output: 3 kernel_size: 1 bias_term: false }"
    )
    with pytest.raises(
        CaffeError, match="Cannot share param 'w' owned by layer 'one' with layer 'two'; shape mismatch"
    ):
        caffe.Net(write(wrong), caffe.TEST)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'bottom: "conv" top: "a"',
            'bottom: "cnv" top: "a"',
            "Unknown bottom blob 'cnv' \\(layer 'a', bottom index 0\\)",
        ),
        ('type: "ReLU"', 'type: "Rectifier"', "Unknown layer type: Rectifier \\(layer 'relu'\\).*register_layer"),
        ('type: "ReLU"', 'type: "Relu"', "Did you mean ReLU"),
        ('bottom: "conv" top: "a"', 'bottom: "conv" top: "data"', "Top blob 'data' produced by multiple sources"),
    ],
)
def test_wrong_definitions_are_explained(write, old: str, new: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        caffe.Net(write(CONV.replace(old, new, 1)), caffe.TEST)


def test_duplicate_names_of_layers_without_parameters_work(write) -> None:
    text = CONV + 'layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }'
    assert caffe.Net(write(text), caffe.TEST)._layer_names.count("relu") == 2


def test_python_plugin_types_are_listed() -> None:
    assert {"Convolution", "MultiStageMeanfield", "SoftmaxWithLoss"} <= set(caffe.layer_type_list())


def test_freeing_blobs_changes_no_output(write) -> None:
    kept, freed = caffe.Net(write(CONV), caffe.TEST), caffe.Net(write(CONV), caffe.TEST)
    freed.share_with(kept)
    freed.frees_blobs = True
    x = np.random.default_rng(4).normal(size=(2, 3, 5, 6))
    for _ in range(2):
        expected, out = kept.forward(data=x), freed.forward(data=x)
        for name in expected:
            np.testing.assert_array_equal(out[name], expected[name])
    assert kept.blobs["conv"].data.any()
    assert not freed.blobs["conv"].data.any()
    assert freed.blobs["data"].data.any()
