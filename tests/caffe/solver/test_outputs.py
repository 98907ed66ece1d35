"""Test outputs: their means beside numpy's, and how the logs tell them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from caffe.solver.outputs import OutputMeans, described, plain_outputs, scalars

NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "rows" type: "Reduction" bottom: "x" top: "rows" reduction_param { axis: 1 } }
layer { name: "loss" type: "Reduction" bottom: "x" top: "loss" loss_weight: 3 }
"""


@pytest.fixture
def net(compute: str) -> caffe.Net:
    return caffe.Net(text_format.Parse(NET, caffe_pb2.NetParameter()), caffe.TEST)


def test_means_are_those_of_what_every_run_gave(net: caffe.Net) -> None:
    means = OutputMeans(net)
    assert means.outputs == {}
    runs = [means.run() for _ in range(4)]
    assert len({run["loss"].item() for run in runs}) == 4
    assert {name: array.dtype for name, array in runs[0].items()} == {"rows": np.float64, "loss": np.float64}
    for name in ("rows", "loss"):
        expected = np.mean([run[name] for run in runs], axis=0)
        assert means.outputs[name].shape == net.blobs[name].data.shape
        np.testing.assert_allclose(means.outputs[name], expected, rtol=1e-12)
    assert means.loss == pytest.approx(3 * means.outputs["loss"].item(), rel=1e-6)
    assert means.iterations == 4


def test_the_log_tells_each_value_and_the_weight_of_losses(net: caffe.Net) -> None:
    outputs = {"rows": np.array([0.25, 1e-7]), "loss": np.array(2.0)}
    assert list(scalars(outputs)) == [("rows", 0.25), ("rows", 1e-7), ("loss", 2.0)]
    assert described(outputs, net) == ["rows = 0.25", "rows = 1e-07", "loss = 2 (* 3 = 6 loss)"]


def test_the_json_log_tells_plain_numbers() -> None:
    plain = plain_outputs({"a": np.float32([[1.5]]), "b": np.zeros((2, 2)), "none": np.zeros(0)})
    assert json.loads(json.dumps(plain)) == {"a": 1.5, "b": [0, 0, 0, 0], "none": []}
