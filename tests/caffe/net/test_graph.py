"""Running parts of a net, forward and backward, in place and with blobs let go of."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.nets import CONV

import caffe

pytestmark = pytest.mark.usefixtures("compute")


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


def test_backward_without_a_forward_computes_from_what_the_blobs_hold(write) -> None:
    """As genuine Caffe's: its layers look at the blobs alone."""
    rng = np.random.default_rng(3)
    usual, unusual = (caffe.Net(write("force_backward: true\n" + CONV), caffe.TEST) for _ in range(2))
    unusual.share_with(usual)
    x, a, both = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(2, 2, 5, 6)), rng.normal(size=(2, 4, 5, 6))
    usual.forward(data=x)
    usual.backward(a=a, sum=both)
    for name, blob in usual.blobs.items():
        unusual.blobs[name].data[...] = blob.data
    unusual.backward(a=a, sum=both)
    for found, expected in ((unusual.blobs, usual.blobs), (unusual.params, usual.params)):
        for name in expected:
            pairs = [(found[name], expected[name])] if found is unusual.blobs else zip(found[name], expected[name])
            for one, other in pairs:
                np.testing.assert_allclose(one.diff, other.diff, rtol=1e-5, atol=1e-6)
    assert usual.blobs["data"].diff.any()


def test_a_part_of_backward_without_a_forward(write) -> None:
    net = caffe.Net(write("force_backward: true\n" + CONV), caffe.TEST)
    net.blobs["a"].diff[...] = 1
    assert set(net.backward(start="a", end="a")) == {"conv_relu_0_split_0"}
    weights = net.params["a"][0].data[:, :, 0, 0]
    below = net.backward(start="a", end="a")["conv_relu_0_split_0"]
    np.testing.assert_allclose(below, np.broadcast_to(weights.sum(0)[:, None, None], below.shape), rtol=1e-5)


def test_a_loss_has_its_weight_as_diff_before_any_forward(write) -> None:
    net = caffe.Net(
        write(
            """force_backward: true
            layer { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } } }
            layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l" loss_weight: 3 }"""
        ),
        caffe.TRAIN,
    )
    net.blobs["x"].data[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, 3 / 2)


def test_backward_of_blobs_that_were_freed_needs_a_forward(write) -> None:
    net = caffe.Net(write("force_backward: true\n" + CONV), caffe.TRAIN)
    net.frees_blobs = True
    with pytest.raises(caffe.CaffeError, match="backward needs a forward first, since this net frees its blobs"):
        net.backward()


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
