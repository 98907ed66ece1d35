"""The slim networks: what is frozen, what is new, and crops that start at 0."""

from __future__ import annotations

from support.crfasrnn.prototxts import committed, coordinate_maps, layer

from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.networks import slim


def test_the_slim_trunk_is_frozen_through_its_third_block() -> None:
    net = committed("slim/fcn8s_train.prototxt")
    rates = {entry.name: [p.lr_mult for p in entry.param] for entry in net.layer if entry.name.startswith("conv")}
    assert {name for name, rate in rates.items() if rate == [0, 0]} == {
        "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3",
    }  # fmt: skip
    assert {tuple(rate) for name, rate in rates.items() if name[4] in "45"} == {(1, 2)}


def test_the_slim_head_learns_fast_while_it_is_new() -> None:
    for name, rates in (("fcn8s", [10, 20]), ("crfrnn", [1, 2])):
        net = committed(f"slim/{name}_train.prototxt")
        for head in ("fc6", "fc7", "score-fr", "score-pool4", "score-pool3"):
            assert [p.lr_mult for p in layer(net, head).param] == rates


def test_crops_start_where_the_pixels_coincide() -> None:
    net = committed("slim/fcn8s_deploy.prototxt")
    _, offsets = coordinate_maps(net)
    written = {entry.top[0]: entry.crop_param.offset[0] for entry in net.layer if entry.type == "Crop"}
    assert written == offsets == {"score2c": 0, "score4c": 0, "coarse": 0}


def test_trained_on_it_is_the_same_network_at_one_rate() -> None:
    nets = {}
    for name, body in (("new", slim.fcn8s), ("learned", slim.learned_fcn8s)):
        n = NetSpec()
        n.data = L.Input(shape={"dim": [1, 3, 64, 64]})
        body(n, 5, 0.1)
        nets[name] = n.to_proto()
    rates = {name: [param.lr_mult for entry in net.layer for param in entry.param] for name, net in nets.items()}
    assert set(rates["new"]) == {0, 1, 2, 10, 20}
    assert rates["learned"] == [{10: 1, 20: 2}.get(rate, rate) for rate in rates["new"]]
    for net in nets.values():
        for entry in net.layer:
            entry.ClearField("param")
    assert nets["new"] == nets["learned"]
