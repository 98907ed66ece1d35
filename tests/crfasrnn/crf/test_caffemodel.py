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
from crfasrnn.crf.module import Spatial

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


def test_learned_bandwidths_that_a_file_cannot_hold_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crf = CrfRnn(4, learn_bandwidths=True)
    for call in (crf.save_caffemodel, crf.load_caffemodel):
        caplog.clear()
        call(tmp_path / "crf.caffemodel")
        assert "no place for learned bandwidths" in caplog.text
    caplog.clear()
    CrfRnn(4).load_caffemodel(tmp_path / "crf.caffemodel")
    assert not caplog.records
