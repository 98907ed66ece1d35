"""Which nets a solver file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe import mode
from caffe.errors import CaffeError
from caffe.net.net import Net
from caffe.proto import caffe_pb2, text
from caffe.solver import nets

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fit" type: "InnerProduct" bottom: "x" top: "fit" inner_product_param { num_output: 1 } }
layer { name: "test" type: "ReLU" bottom: "fit" top: "test" include { phase: TEST } }
layer { name: "more" type: "ReLU" bottom: "fit" top: "more" include { stage: "more" } }
"""
INNER = f"{{ {NET} }}"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    return tmp_path


def solver(options: str) -> caffe_pb2.SolverParameter:
    Path("solver.prototxt").write_text(options)
    return text.read_solver("solver.prototxt")


@pytest.mark.parametrize(
    "options", ['net: "net.prototxt"', 'train_net: "net.prototxt"', f"net_param {INNER}", f"train_net_param {INNER}"]
)
def test_the_net_to_train_is_named_in_one_of_four_fields(options: str) -> None:
    net = nets.train_net(solver(options))
    assert net.phase == mode.TRAIN
    assert list(net.layer_dict) == ["x", "fit"]
    assert "more" in nets.train_net(solver(options + ' train_state { stage: "more" }')).layer_dict


def test_none_and_two_nets_to_train_are_refused() -> None:
    fields = "train_net, train_net_param, net, net_param"
    with pytest.raises(CaffeError, match=f"must specify a train net using one of these fields: {fields}"):
        nets.train_net(solver("base_lr: 1"))
    with pytest.raises(CaffeError, match="must not contain more than one of these fields"):
        nets.train_net(solver('net: "net.prototxt" train_net: "net.prototxt"'))


def test_nets_to_test_come_in_their_order() -> None:
    """Those of test_net_param, of test_net, and then of net, once for each test_iter that is left."""
    found = nets.test_nets(
        solver(
            f'net: "net.prototxt" test_net_param {INNER} test_net: "net.prototxt" test_iter: 1 test_iter: 1 test_iter: 1 '
            'test_iter: 1 test_interval: 1 test_state {} test_state { stage: "more" } test_state {} test_state {}'
        )
    )
    assert [net.phase for net in found] == [mode.TEST] * 4
    assert ["more" in net.layer_dict for net in found] == [False, True, False, False]
    assert all("test" in net.layer_dict for net in found)
    assert nets.test_nets(solver('net: "net.prototxt"')) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("test_iter: 1", "test_interval must be greater than 0"),
        ('test_net: "net.prototxt" test_interval: 1', "test_iter must be specified for each test network: 0 for 1"),
        ("test_iter: 1 test_interval: 1 test_state {} test_state {}", "once per test net"),
    ],
)
def test_options_that_do_not_fit_together(options: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        nets.test_nets(solver(f'net: "net.prototxt" {options}'))


def test_weights_come_from_one_file_after_another() -> None:
    net = Net("net.prototxt", mode.TEST)
    for name, value in (("a", 1), ("b", 2)):
        net.params["fit"][0].data[...] = value
        net.save(f"{name}.caffemodel")
    options = 'net: "net.prototxt" weights: "b.caffemodel" weights: "b.caffemodel, a.caffemodel" test_iter: 1 test_interval: 1'
    for net in (nets.train_net(solver(options)), *nets.test_nets(solver(options))):
        assert (net.params["fit"][0].data == 1).all()
    nets.finetune([net], "a.caffemodel,b.caffemodel")
    assert (net.params["fit"][0].data == 2).all()
    with pytest.raises(CaffeError, match=r"nowhere\.caffemodel"):
        nets.finetune([net], "nowhere.caffemodel")
