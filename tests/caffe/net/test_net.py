"""Net and Blob: what pycaffe users and Caffe's own construction rules expect."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.nets import CONV

import caffe

pytestmark = pytest.mark.usefixtures("compute")


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


def test_python_plugin_types_are_listed() -> None:
    assert {"Convolution", "MultiStageMeanfield", "SoftmaxWithLoss"} <= set(caffe.layer_type_list())


def test_there_must_be_something_to_run(write) -> None:
    net = caffe.Net(
        write(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
            'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
        ),
        caffe.TEST,
    )
    for run in (net.forward_all, net.forward_backward_all):
        with pytest.raises(ValueError, match=r"no data: give an array for each of the net's inputs \['x'\]"):
            run()
        with pytest.raises(ValueError, match=r"'x' has 0 item\(s\)"):
            run(x=np.zeros((0, 3)))
    # A batch of none is an empty one, as in Caffe; only how many there are per batch is lost.
    net.blobs["x"].reshape(0, 3)
    assert net.forward()["y"].shape == (0, 3)
    with pytest.raises(ValueError, match="the net takes 0 at a time"):
        net.forward_all(x=np.zeros((2, 3)))
