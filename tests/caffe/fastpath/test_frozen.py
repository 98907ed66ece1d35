"""Trainings whose first layers learn nothing run these at once, and learn what they learn layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from support.caffe.chains import FILLERS, conv

import caffe
from caffe import mode
from caffe.fastpath.chain import LayerChain
from caffe.fastpath.frozen import Frozen, frozen
from caffe.fastpath.region import Region
from caffe.net.graph import FastPath
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FIXED = {"param": [{"lr_mult": 0}, {"lr_mult": 0}]}


def branching(n: NetSpec) -> None:
    """Channels turned round, two residual blocks, of which any may learn, and scores that do."""
    n.data = L.DummyData(shape={"dim": [1, 3, 20, 24]}, data_filler={"type": "gaussian", "std": 1})
    n.label = L.DummyData(shape={"dim": [1, 1, 10, 12]}, data_filler={"type": "constant", "value": 1})
    red, green, blue = L.Slice(n.data, ntop=3, axis=1)
    n.turned = L.Concat(blue, green, red, axis=1)
    n.first = L.Convolution(n.turned, num_output=8, kernel_size=3, pad=1, stride=2, **FIXED, **FILLERS)
    n.one = L.Convolution(
        L.Clip(n.first, min=0, max=6), num_output=8, group=8, kernel_size=3, pad=1, **FIXED, **FILLERS
    )
    n.joined = L.Eltwise(n.first, n.one)
    n.two = L.Convolution(n.joined, num_output=8, kernel_size=1, **FIXED, **FILLERS)
    n.again = L.Eltwise(n.joined, n.two)
    n.scores = L.Convolution(n.again, num_output=3, kernel_size=1, **FILLERS)
    n.loss = L.SoftmaxWithLoss(n.scores, n.label)


def solver(folder: Path, learned: str = "") -> caffe.Solver:
    """A solver of that net, in which this layer learns, too."""
    n = NetSpec()
    branching(n)
    net = n.to_proto()
    for layer in net.layer:
        if layer.name == learned:
            del layer.param[:]
    settings = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed", momentum=0.9, random_seed=1, net_param=net)
    settings.test_iter.append(1)
    settings.test_interval, settings.test_initialization = 100, False
    settings.test_net_param.add().CopyFrom(net)
    path = folder / "solver.prototxt"
    path.write_text(text_format.MessageToString(settings))
    return caffe.get_solver(str(path))


def net_part(net: caffe.Net, path: FastPath) -> tuple[str, ...]:
    """The first and the last blob that it makes, Splits aside."""
    made = [net.nodes[i].tops[0] for i in path.layers() if net.layers[i].type not in ("Slice", "Split")]
    return made[0], made[-1]


@pytest.mark.parametrize(("learned", "stop"), [("", "again"), ("two", "joined"), ("first", None)])
def test_what_is_learned_is_the_same(tmp_path: Path, learned: str, stop: str | None) -> None:
    plain, fast = solver(tmp_path, learned), solver(tmp_path, learned)
    fast.save_memory()
    path = frozen(fast.net)
    assert isinstance(path.part, Region) == (stop is not None)
    assert stop is None or net_part(fast.net, path) == ("turned", stop)
    for each in (plain, fast):
        caffe.set_random_seed(2)
        each.step(5)
    for name, blobs in plain.net.params.items():
        for mine, theirs in zip(fast.net.params[name], blobs):
            np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_test_net_sees_the_weights_of_the_moment_and_leaves_its_scores(tmp_path: Path) -> None:
    training = solver(tmp_path, "first")
    training.save_memory()
    seen = []
    net = training.test_nets[0]
    index = list(net.layer_dict).index("scores")
    net.after_forward(lambda layer: seen.append(net.blobs["scores"].data.copy()) if layer == index else None)
    assert isinstance(net.fast_path, Frozen)
    assert isinstance(net.fast_path.part, Region)
    for _ in range(2):
        training.test()
        training.step(3)
    assert len(seen) == 2
    assert np.abs(seen[0] - seen[1]).max() > 0.01


def test_a_net_in_a_row_is_a_chain_in_bfloat16_alone() -> None:
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 20, 24]})
    wide = L.ReLU(conv(n.data, 64), in_place=True)
    conv(conv(wide, 64), 2)
    n.last = L.Softmax(conv(wide, 2))
    path = frozen(caffe.Net(n.to_proto(), caffe.TEST))
    assert isinstance(path.part, LayerChain)
    assert not path.layers()
    with mode.precision("bf16"):
        assert path.layers()
