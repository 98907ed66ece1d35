"""Which layers make a backward step, which may write over their bottom, and who reads a blob last."""

from __future__ import annotations

from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }
layer { name: "frozen" type: "Convolution" bottom: "data" top: "frozen" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "frozen" top: "frozen" }
layer { name: "score" type: "InnerProduct" bottom: "frozen" top: "score" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
layer { name: "aside" type: "InnerProduct" bottom: "data" top: "aside" inner_product_param { num_output: 2 } }
"""


def net(**options: bool) -> caffe.Net:
    return caffe.Net(text_format.Parse(NET, caffe_pb2.NetParameter(**options)), caffe.TRAIN)


def test_only_what_a_loss_depends_on_and_something_learns_from_goes_back() -> None:
    needs = {node.name: node.needs_backward for node in net().nodes if node.layer.type != "Split"}
    assert needs == {
        "data": False, "label": False, "frozen": False, "relu": False, "score": True, "loss": True, "aside": False,
    }  # fmt: skip
    assert all(node.needs_backward for node in net(force_backward=True).nodes)


def test_a_relu_behind_a_frozen_convolution_writes_over_it() -> None:
    assert [node.name for node in net().nodes if node.layer.may_overwrite] == ["relu"]
    assert not any(node.layer.may_overwrite for node in net(force_backward=True).nodes)


def test_blobs_are_let_go_of_after_their_last_reader() -> None:
    made = net()
    names = {id(blob): name for name, blob in made.blobs.items()}
    last = {node.name: [names[id(blob)] for blob in node.last_read] for node in made.nodes}
    assert last["score"] == ["frozen"]
    assert last["loss"] == ["score"]  # labels come from a layer without bottoms: they stay
    assert last["relu"] == []
