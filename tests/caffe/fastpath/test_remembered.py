"""What never changes is computed once for each image, in training and in tests, and rounded as it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from support.caffe.chains import FILLERS

import caffe
from caffe import mode
from caffe.fastpath.remembered import Remembered, remembered
from caffe.layers.base import TorchLayer
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FIXED = {"param": [{"lr_mult": 0}, {"lr_mult": 0}]}
IMAGES = 3


@caffe.register_layer("CountedForTests")
class Counted(TorchLayer):
    """The bottom again; it counts how often."""

    repeats = True
    runs = 0

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        Counted.runs += 1
        return [bottom[0].clone()]


class Kept(dict[str, list[np.ndarray]]):
    """A store in memory."""

    def put(self, key: str, arrays: Sequence[np.ndarray]) -> None:
        self[key] = [array.copy() for array in arrays]


class Stores(defaultdict[str, Kept]):
    """One for each network."""

    def __init__(self) -> None:
        super().__init__(Kept)

    @property
    def only(self) -> Kept:
        """The one that there is."""
        (found,) = self.values()
        return found


def definition(phase: int, learned: str = "", dropout: bool = False, size: float = 1) -> caffe_pb2.NetParameter:
    """Scores at half the image's size from frozen layers, enlarged, cropped, and mixed by a layer that learns."""
    n = NetSpec()
    n.data, n.label = L.MemoryData(ntop=2, batch_size=1, channels=3, height=12, width=14)
    n.counted = L.CountedForTests(n.data)
    n.turned = L.Convolution(n.counted, num_output=8, kernel_size=3, pad=1, stride=2, **FIXED, **FILLERS)
    n.first = L.ReLU(n.turned)
    below = L.Dropout(n.first, in_place=True) if dropout else n.first
    n.scored = L.Convolution(below, num_output=2, kernel_size=1, **FIXED, **FILLERS)
    n.scores = L.Power(n.scored, scale=size)
    n.large = L.Deconvolution(
        n.scores, convolution_param={"num_output": 2, "kernel_size": 4, "stride": 2, **FILLERS}, **FIXED
    )
    n.coarse = L.Crop(n.large, n.data, offset=[1, 1])
    n.both = L.Concat(n.coarse, n.data, axis=1)
    n.mixed = L.Convolution(n.both, num_output=3, kernel_size=1, **FILLERS)
    n.pooled = L.Pooling(n.mixed, pool=1, global_pooling=True)
    n.loss = L.SoftmaxWithLoss(n.pooled, n.label)
    if phase == caffe.TEST:
        n.accuracy = L.Accuracy(n.pooled, n.label)
    net = n.to_proto()
    for layer in net.layer:
        if layer.name == learned:
            del layer.param[:]
    return net


def solver(**options: Any) -> caffe.Solver:
    """It trains on some images, and tests on them."""
    settings = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed", momentum=0.9, random_seed=1, type="SGD")
    settings.train_net_param.CopyFrom(definition(caffe.TRAIN, **options))
    settings.test_net_param.add().CopyFrom(definition(caffe.TEST, **options))
    settings.test_iter.append(IMAGES)
    settings.test_interval, settings.test_initialization = 100, False
    made = caffe.get_solver(settings)
    rng = np.random.default_rng(5)
    images, labels = rng.normal(size=(IMAGES, 3, 12, 14)), np.arange(IMAGES) % 3
    for net in (made.net, *made.test_nets):
        net.set_input_arrays(images.astype(np.float32), labels.astype(np.float32))
    made.save_memory()
    return made


def remembering(stores: Stores, **options: Any) -> caffe.Solver:
    """Such a solver with these stores for both nets."""
    made = solver(**options)
    for net in (made.net, *made.test_nets):
        net.fast_path = remembered(net, made.net, stores.__getitem__) or net.fast_path
    return made


def learned(made: caffe.Solver, steps: int = 2 * IMAGES) -> tuple[np.ndarray, float]:
    """The weights after some steps, and the loss of a test."""
    caffe.set_random_seed(2)
    made.step(steps)
    return made.net.params["mixed"][0].data.copy(), float(made.test()["loss"])


@pytest.mark.usefixtures("compute")
def test_each_image_is_computed_once_and_all_is_the_same_when_all_are_known() -> None:
    stores = Stores()
    first = remembering(stores)
    assert len(stores) == 1  # whatever else the test net does with images and labels
    Counted.runs = 0
    filled = learned(first)
    assert Counted.runs == len(stores.only) == IMAGES
    known = learned(remembering(stores))
    assert Counted.runs == IMAGES
    np.testing.assert_array_equal(known[0], filled[0])
    assert known[1] == filled[1]
    plain = learned(solver())
    np.testing.assert_allclose(filled[0], plain[0], atol=1e-3)
    assert filled[1] == pytest.approx(plain[1], rel=1e-3)
    assert filled[1] != plain[1]  # rounded
    assert np.abs(plain[0] - solver().net.params["mixed"][0].data).max() > 0.01  # it did learn


def test_what_is_kept_are_the_small_scores() -> None:
    stores = Stores()
    made = remembering(stores)
    path = made.net.fast_path
    assert isinstance(path, Remembered)
    assert made.net.nodes[path.layers()[0]].name == "counted"
    assert made.net.nodes[path.layers()[-1]].tops == ["scores"]
    made.step(1)
    ((kept,),) = stores.only.values()
    plain = solver()
    plain.net.frees_blobs = False
    plain.net.forward()
    assert kept.dtype == np.float16
    np.testing.assert_allclose(kept, plain.net.blobs["scores"].data, rtol=1e-3, atol=1e-6)


def test_what_float16_cannot_hold_is_computed_each_time(caplog: pytest.LogCaptureFixture) -> None:
    stores = Stores()
    Counted.runs = 0
    weights, _ = learned(remembering(stores, size=1e6))
    assert not stores.only
    assert Counted.runs == 3 * IMAGES
    plain, _ = learned(solver(size=1e6))
    np.testing.assert_allclose(weights, plain, atol=1e-5 * np.abs(plain).max())
    assert caplog.text.count("Blob 'scores' is not kept") == 2  # by each net


def test_a_damaged_answer_is_computed_again() -> None:
    stores = Stores()
    first = learned(remembering(stores))
    for arrays in stores.only.values():
        arrays.clear()
    again = learned(remembering(stores))
    np.testing.assert_array_equal(again[0], first[0])
    assert all(stores.only.values())


@pytest.mark.parametrize(
    ("options", "last"),
    [({"learned": "scored"}, "first"), ({"learned": "turned"}, None), ({"dropout": True}, "first")],
    ids=["scores", "all", "chance"],
)
def test_what_changes_is_run_each_time(options: dict[str, Any], last: str | None) -> None:
    """A layer that learns, or that chance is in, and what lies behind it."""
    made = remembering(Stores(), **options)
    path = made.net.fast_path
    assert isinstance(path, Remembered) == (last is not None)
    assert not isinstance(path, Remembered) or made.net.nodes[path.layers()[-1]].tops == [last]
    by_layers = solver(**options)
    by_layers.net.fast_path = None  # chance would fall otherwise on maps that lie otherwise
    np.testing.assert_allclose(learned(made)[0], learned(by_layers)[0], atol=1e-3)


def test_other_weights_and_other_precisions_are_another_network() -> None:
    stores = Stores()
    for _ in range(2):
        made = remembering(stores)
    of_name = {node.name: node.layer for node in made.net.nodes}
    of_name["large"].blobs[0].data[...] += 1  # behind what is kept
    remembered(made.net, made.net, stores.__getitem__)
    assert len(stores) == 1
    with mode.precision("bf16"):
        remembered(made.net, made.net, stores.__getitem__)
    assert len(stores) == 2
    of_name["turned"].blobs[1].data[0] += 1e-3
    remembered(made.net, made.net, stores.__getitem__)
    assert len(stores) == 3
