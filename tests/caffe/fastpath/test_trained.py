"""The trunk of a learning net run at once, against the net layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.caffe.layers import random

import caffe
from caffe import mode
from caffe.fastpath import trained as module
from caffe.fastpath.frozen import frozen
from caffe.fastpath.trained import Trained, trained
from caffe.layers import convolution
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2


def definition(pad: int = 20, frozen: bool = False, channels: int = 64) -> caffe_pb2.NetParameter:
    """A small FCN with a branch from its second pooling; the sizes make the last window of a pooling reach beyond the map."""
    n = NetSpec()
    filler = {"weight_filler": {"type": "msra"}, "bias_filler": {"type": "gaussian", "std": 0.3}}
    still = {"param": [{"lr_mult": 0}, {"lr_mult": 0}]} if frozen else {}
    pool = {"pool": caffe_pb2.PoolingParameter.MAX, "kernel_size": 2, "stride": 2}
    n.data = L.Input(shape={"dim": [2, 3, 30, 43]})
    n.label = L.Input(shape={"dim": [2, 1, 6, 8]})
    n.conv1 = L.Convolution(n.data, num_output=channels, kernel_size=3, pad=pad, **filler, **still)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, num_output=channels, kernel_size=3, pad=1, **filler)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool1 = L.Pooling(n.relu2, **pool)
    n.conv3 = L.Convolution(n.pool1, num_output=2 * channels, kernel_size=3, pad=1, **filler)
    n.sigmoid = L.Sigmoid(n.conv3)
    n.conv4 = L.Convolution(n.sigmoid, num_output=2 * channels, kernel_size=3, pad=1, bias_term=False)
    n.conv4.fn.params["weight_filler"] = {"type": "msra"}
    n.relu4 = L.ReLU(n.conv4, in_place=True)
    n.pool2 = L.Pooling(n.relu4, **pool)
    n.conv5 = L.Convolution(n.pool2, num_output=40, kernel_size=3, stride=2, group=2, **filler)
    n.pool3 = L.Pooling(n.conv5, **pool)
    n.up = L.Deconvolution(
        n.pool3, convolution_param={"num_output": 5, "kernel_size": 4, "stride": 4, "weight_filler": {"type": "msra"}}
    )
    n.side = L.Convolution(n.pool2, num_output=5, kernel_size=1, **filler)
    n.cut = L.Crop(n.up, n.label)
    n.side_cut = L.Crop(n.side, n.label, offset=2)
    n.score = L.Eltwise(n.cut, n.side_cut)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def made(net_param: caffe_pb2.NetParameter) -> caffe.Net:
    net_param = type(net_param).FromString(net_param.SerializeToString())
    net_param.state.phase = caffe.TRAIN
    caffe.set_random_seed(3)
    net = caffe.Net(net_param, caffe.TRAIN)
    net.blobs["data"].data[...] = random(2, 3, 30, 43)
    net.blobs["label"].data[...] = np.arange(2 * 6 * 8).reshape(2, 1, 6, 8) % 5
    net.frees_blobs = True
    return net


def gradients(net: caffe.Net) -> list[np.ndarray]:
    net.clear_param_diffs()
    losses = [net.run_forward()]
    net.run_backward()
    net.release()
    return [np.array(losses), *(blob.diff.copy() for blob in net.learnable if blob.has_grad)]


def off(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("pad", [20, 1], ids=["wide border", "no border"])
@pytest.mark.parametrize("positions", [1, 1 << 20], ids=["transformed", "by the library"])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_those_of_the_layers_one_by_one(
    pad: int, positions: int, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "MANY_POSITIONS", positions)
    net = made(definition(pad, frozen))
    expected = gradients(net)
    path = net.fast_path = trained(net)
    assert path is not None
    assert [net.layers[i].name for i in path.layers()][::12] == ["conv1", "pool3"]
    rows = len(path._plan(0, 30)[0].take)
    assert rows < 30 + 2 * 20 - 10 if pad == 20 else rows == 30
    found = gradients(net)
    assert len(found) == len(expected) == 14 - 2 * frozen
    for ours, theirs in zip(found, expected):
        assert off(ours, theirs) < 2e-5


def test_gradients_add_up_over_several_passes() -> None:
    net = made(definition())
    net.fast_path = trained(net)
    once = gradients(net)[1:]
    for _ in range(2):
        net.run_forward()
        net.run_backward()
        net.release()
    thrice = [blob.diff for blob in net.learnable]
    assert all(off(ours, 3 * theirs) < 1e-6 for ours, theirs in zip(thrice, once))


def test_bfloat16_is_that_of_the_layers_one_by_one() -> None:
    net = made(definition(channels=32))
    with mode.precision("bf16"):
        expected = gradients(net)
        net.fast_path = trained(net)
        found = gradients(net)
    exact = gradients(net)
    for ours, theirs, unrounded in zip(found, expected, exact):
        assert off(ours, theirs) < 0.02
        assert off(ours, unrounded) < 2 * off(theirs, unrounded) + 1e-4
    assert off(found[1], exact[1]) > 1e-4


def test_in_bfloat16_layers_that_do_not_learn_run_as_frozen_ones() -> None:
    net = made(definition(frozen=True, channels=32))
    path = trained(net)
    assert path.layers()[-1] > net._layer_names.index("conv5")
    with mode.precision("bf16"):
        assert path.layers() == frozen(net).layers()
        expected = gradients(net)
        net.fast_path = path
        found = gradients(net)
        assert path.recorded() == range(0)
    assert all(off(ours, theirs) < 0.02 for ours, theirs in zip(found, expected))


def test_a_training_gone_on_with_ends_as_one_never_stopped(tmp_path: Path) -> None:
    settings = caffe_pb2.SolverParameter(base_lr=1e-5, lr_policy="fixed", momentum=0.9, random_seed=1)
    settings.snapshot_prefix = str(tmp_path / "s")
    settings.net_param.CopyFrom(definition())

    def solver() -> caffe.Solver:
        made = caffe.get_solver(settings)
        made.save_memory()
        assert isinstance(made.net.fast_path, Trained)
        made.net.blobs["data"].data[...] = random(2, 3, 30, 43)
        made.net.blobs["label"].data[...] = 1
        return made

    through, stopped = solver(), solver()
    before = through.net.learnable[0].data.copy()
    through.step(4)
    stopped.step(2)
    again = solver()
    again.restore(stopped.snapshot()[1])
    again.step(2)
    assert not np.array_equal(through.net.learnable[0].data, before)
    for ours, theirs in zip(again.net.learnable, through.net.learnable):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_layers_that_ran_at_once_go_backward_together() -> None:
    net = made(definition())
    path = net.fast_path = trained(net)
    first, last = path.layers()[0], path.layers()[-1]
    for start, end in ((None, first + 1), (last - 1, 0)):
        net.run_forward()
        with pytest.raises(caffe.CaffeError, match="must go backward together"):
            net.run_backward(start, end)
    net.run_backward(None, last + 1)
    assert not net.params["conv5"][0].diff.any()
    net.run_backward(last, 0)
    assert net.params["conv1"][0].diff.any()
    net.run_forward()
    net.run_forward(first + 1)  # not from the image on: layer by layer
    assert path.recorded() == range(0)


def test_only_learning_nets_that_gain_by_it_run_so() -> None:
    assert trained(made(definition())) is not None
    test_net = caffe.Net(definition(), caffe.TEST)
    assert trained(test_net) is None
    assert trained(made(definition(pad=1, channels=20))) is None  # neither a border nor many channels
    wants_data_diff = definition()
    wants_data_diff.force_backward = True
    assert trained(made(wants_data_diff)) is None
    nothing = definition()
    for layer in nothing.layer:
        for _ in range({"Convolution": 2 - (layer.name == "conv4"), "Deconvolution": 2}.get(layer.type, 0)):
            layer.param.add(lr_mult=0)
    assert trained(made(nothing)) is None


def test_a_rectified_gradient_takes_the_place_of_the_tops() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0, torch.nan], requires_grad=True)
    y = module._Rectified.apply(x.clone())
    diff = torch.tensor([3.0, 4.0, 5.0, 6.0])
    (grad,) = torch.autograd.grad(y, x, diff)
    expected = torch.autograd.grad(torch.relu(x), x, torch.tensor([3.0, 4.0, 5.0, 6.0]))[0]
    assert torch.equal(grad, expected)
    assert torch.equal(diff, expected)
