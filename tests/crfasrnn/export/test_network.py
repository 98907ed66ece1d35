"""Nets of Caffe as torch modules compute what the nets compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.crfasrnn.models import save_net, scores, with_crf

import caffe
from caffe.errors import CaffeError
from caffe.net_spec import layers as L
from crfasrnn.classes import MEAN_BGR
from crfasrnn.export.network import CrfModule, NetModule, unary_of
from crfasrnn.segmentation.models import find_model


def by_caffe(net: caffe.Net, image: torch.Tensor) -> np.ndarray:
    """What the net gives for a photograph, BGR of 0 to 255."""
    blob = net.blobs[net.inputs[0]]
    blob.reshape(*image.shape)
    net.reshape()
    blob.data[...] = image.numpy() - np.array(MEAN_BGR, np.float32)[:, None, None]
    return np.array(net.forward()[net.outputs[0]])


@pytest.fixture
def tiny(tmp_path: Path) -> caffe.Net:
    return caffe.Net(*map(str, save_net(tmp_path, with_crf)), caffe.TEST)


def test_the_bundled_model() -> None:
    files = find_model("voc21-deeplab")
    net = caffe.Net(str(files.prototxt), str(files.weights), caffe.TEST)
    image = 255 * torch.rand(1, 3, 65, 81, generator=torch.Generator().manual_seed(0))
    expected = by_caffe(net, image)
    with torch.no_grad():
        np.testing.assert_allclose(NetModule(net, net.outputs[0]).eval()(image), expected, rtol=1e-5, atol=1e-5)


def test_the_network_alone_and_its_crf_are_the_whole(tiny: caffe.Net) -> None:
    image = 255 * torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    expected = by_caffe(tiny, image)
    network = NetModule(tiny, unary_of(tiny))
    with torch.no_grad():
        unary = network(image)
        np.testing.assert_allclose(unary, tiny.blobs["score"].data, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(CrfModule(tiny)(unary, image), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(unary.numpy() - expected).max() > 0.1
    # What only the CRF needs is left out.
    assert {name.rpartition("_")[0] for name, _ in network.named_parameters()} == {"score"}


def test_nets_without_a_crf_or_with_a_start_of_its_own(tmp_path: Path) -> None:
    net = caffe.Net(*map(str, save_net(tmp_path, scores)), caffe.TEST)
    with pytest.raises(CaffeError, match="does not end with a CRF"):
        unary_of(net)

    def started_elsewhere(n: caffe.NetSpec) -> None:
        scores(n)
        n.other = L.Power(n.score, power=1.0, scale=2.0)
        n.pred = L.MultiStageMeanfield(n.score, n.other, n.data, multi_stage_meanfield_param={"num_iterations": 1})

    net = caffe.Net(*map(str, save_net(tmp_path, started_elsewhere)), caffe.TEST)  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match="starts from 'other', not from its unary scores"):
        unary_of(net)


def test_a_python_layer_cannot_be_exported(tmp_path: Path) -> None:
    class Mine(caffe.Layer):
        def reshape(self, bottom: object, top: object) -> None:
            top[0].reshape(*bottom[0].shape)  # type: ignore[index]

    caffe.register_layer("ExportedMine")(Mine)

    def body(n: caffe.NetSpec) -> None:
        n.mine = L.ExportedMine(n.data)

    net = caffe.Net(*map(str, save_net(tmp_path, body)), caffe.TEST)  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match=r"layer 'mine' \(ExportedMine\) cannot be exported"):
        NetModule(net, "mine")
