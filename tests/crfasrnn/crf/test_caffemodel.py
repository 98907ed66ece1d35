"""The CRF's matrices in model files: read by nets and by the module alike, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.crfasrnn.module import randomised, scene

from caffe import Net
from caffe.errors import CaffeError
from crfasrnn import CrfRnn
from crfasrnn.crf.module import Bilateral, Spatial

DEPLOY = """
input: "unary" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 11
input: "image" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 11
layer { name: "inference1" type: "MultiStageMeanfield" bottom: "unary" bottom: "unary" bottom: "image" top: "pred"
  multi_stage_meanfield_param { theta_alpha: 160 theta_beta: 3 theta_gamma: 3 num_iterations: 5
    spatial_filter_weight: 3 bilateral_filter_weight: 5 } }
"""


def test_state_is_caffes_three_blobs(tmp_path: Path) -> None:
    """To a caffe net through a caffemodel and back, with the same scores on both sides."""
    crf = randomised(CrfRnn(4))
    assert [(k, tuple(v.shape)) for k, v in crf.state_dict().items()] == [
        ("compatibility", (4, 4)),
        ("weights.0", (4, 4)),
        ("weights.1", (4, 4)),
    ]
    model, deploy, again = tmp_path / "crf.caffemodel", tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    crf.save_caffemodel(model)
    deploy.write_text(DEPLOY)
    net = Net(str(deploy), str(model), 1)
    for blob, name in zip(net.params["inference1"], ("weights.0", "weights.1", "compatibility")):
        assert np.array_equal(blob.data[0, 0], crf.state_dict()[name].numpy())
    unary, image = scene()
    net.blobs["unary"].data[...] = unary
    net.blobs["image"].data[...] = image
    assert np.array_equal(net.forward()["pred"], crf(unary, image).detach().numpy())
    net.save(str(again))
    loaded = CrfRnn(4).load_caffemodel(again)
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), crf.state_dict().values()))


def test_caffemodels_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "crf.caffemodel"
    CrfRnn(4).save_caffemodel(path)
    with pytest.raises(CaffeError, match="no layer 'crf' with weights; the last layers are inference1"):
        CrfRnn(4).load_caffemodel(path, "crf")
    with pytest.raises(CaffeError, match="another number of classes or of kernels"):
        CrfRnn(5).load_caffemodel(path)
    with pytest.raises(CaffeError, match="another number of classes or of kernels"):
        CrfRnn(4, [Spatial()]).load_caffemodel(path)
    for options in ({"weights": "shared"}, {"compatibility": "potts"}):
        with pytest.raises(ValueError, match="full matrices"):
            CrfRnn(4, **options).save_caffemodel(path)


def test_further_kernels_and_learned_bandwidths_are_those_of_a_net(tmp_path: Path) -> None:
    """To a caffe net through a caffemodel and back, with the same scores on both sides."""
    kernels = [Spatial(2.0, 2.0), Bilateral(8.0, 15.0, 3.0), Bilateral(4.0, 30.0, 1.0)]
    crf = randomised(CrfRnn(4, kernels, learn_bandwidths=True))
    model, deploy, again = tmp_path / "crf.caffemodel", tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    crf.save_caffemodel(model)
    deploy.write_text(DEPLOY.replace("theta_alpha", "bilateral { } learn_bandwidths: true theta_alpha"))
    net = Net(str(deploy), str(model), 1)
    assert [blob.data.shape for blob in net.params["inference1"]] == [(1, 1, 4, 4)] * 4 + [(5,)]
    unary, image = scene()
    net.blobs["unary"].data[...], net.blobs["image"].data[...] = unary, image
    np.testing.assert_allclose(net.forward()["pred"], crf(unary, image).detach().numpy(), rtol=1e-6, atol=1e-6)
    net.save(str(again))
    loaded = CrfRnn(4, kernels, learn_bandwidths=True).load_caffemodel(again)
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), crf.state_dict().values(), strict=True))
    with pytest.raises(CaffeError, match="has learned 5 bandwidths, and this module 0 of such: make CrfRnn with learn"):
        CrfRnn(4, kernels).load_caffemodel(again)
    with pytest.raises(CaffeError, match="another number of classes or of kernels"):
        CrfRnn(4, learn_bandwidths=True).load_caffemodel(again)


def test_learned_bandwidths_that_one_side_lacks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "crf.caffemodel"
    CrfRnn(4, [Bilateral()], learn_bandwidths=True).save_caffemodel(path)
    assert "no place for learned bandwidths of these kernels" in caplog.text
    CrfRnn(4, [Bilateral()], learn_bandwidths=True).load_caffemodel(path)
    assert "no learned bandwidths there; the module's keep their values" in caplog.text
    caplog.clear()
    CrfRnn(4, [Bilateral()]).load_caffemodel(path)
    assert not caplog.records
