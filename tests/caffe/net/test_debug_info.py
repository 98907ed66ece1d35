"""The lines of `debug_info: true`, as Caffe words them, with the means of what the net holds."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.logs.glog import number
from caffe.proto import caffe_pb2

NET = """
debug_info: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 bias_term: false } }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
"""


def test_means_of_blobs_parameters_and_gradients(caplog: pytest.LogCaptureFixture) -> None:
    net = caffe.Net(text_format.Parse(NET, caffe_pb2.NetParameter()), caffe.TRAIN)
    net.blobs["x"].data[...] = [1, -2, 3, -4]
    net.params["ip"][0].data[...] = [[1, 1, 1, 1], [2, 0, 0, 0]]
    with caplog.at_level("INFO", "caffe"):
        net.forward()
        net.backward()
    lines = [record.getMessage() for record in caplog.records]
    assert "    [Forward] Layer ip, top blob y data: 2" in lines  # of |-2| and |2|
    assert "    [Forward] Layer ip, param blob 0 data: 0.75" in lines  # 6 / 8
    assert "    [Backward] Layer ip, param blob 0 diff: 2.5" in lines  # x twice: 20 / 8
    l2 = number(np.sqrt(8.0)), number(np.sqrt(60.0))
    assert f"    [Backward] All net params (data, diff): L1 norm = (6, 20); L2 norm = ({l2[0]}, {l2[1]})" in lines
