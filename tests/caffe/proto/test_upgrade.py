"""Nets and solvers of every age become the same net; what genuine Caffe made of them is the truth."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from support.caffe.prototxts import upgraded
from support.reference_data import EXTRAS

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, text, upgrade


def logged(path: Path) -> list[tuple[str, str]]:
    """(severity, message) of a log of genuine Caffe, the tool's own last line left out."""
    lines = [re.match(r"([IWE])\d+ \S+ +\d+ (\S+)\] (.*)", line) for line in path.read_text().splitlines()]
    return [(m[1], m[3]) for m in lines if m and m[2].startswith("upgrade_proto.cpp")]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_old_nets_become_what_caffe_makes_of_them(
    version: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXTRAS)
    with caplog.at_level(logging.INFO, logger="caffe"):
        net = text.read_net(f"{version}_in.prototxt")
    assert upgrade.was_v1(net)
    assert text.to_text(net) == (EXTRAS / f"{version}_upgraded.prototxt").read_text()
    net.ClearField("crop_aligns")
    assert net == text.read_message(EXTRAS / f"{version}_upgraded.prototxt", caffe_pb2.NetParameter())
    expected = logged(EXTRAS / f"{version}_upgrade.log")
    assert expected
    assert [(record.levelname[0], record.getMessage()) for record in caplog.records] == expected


def test_an_upgraded_net_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    net = text.read_net(EXTRAS / "v1_in.prototxt")
    once = net.SerializeToString()
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="caffe"):
        upgrade.upgrade_net(net, "again")
    assert net.SerializeToString() == once
    assert not caplog.records


def test_old_solvers() -> None:
    solver = text.read_message(EXTRAS / "solver_old.prototxt", caffe_pb2.SolverParameter())
    upgrade.upgrade_solver(solver, "solver_old.prototxt")
    assert text.to_text(solver) == (EXTRAS / "solver_upgraded.prototxt").read_text()
    for number, name in enumerate(["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]):
        solver = caffe_pb2.SolverParameter(solver_type=number)
        upgrade.upgrade_solver(solver, "s")
        assert solver.type == name
    with pytest.raises(CaffeError, match="cannot be both specified"):
        upgrade.upgrade_solver(caffe_pb2.SolverParameter(type="SGD", solver_type=1), "s")


def test_snapshot_prefix(tmp_path: Path) -> None:
    path = tmp_path / "my.solver.prototxt"
    (tmp_path / "snaps").mkdir()
    for written, expected in [
        ("", str(tmp_path / "my.solver")),
        (f'snapshot_prefix: "{tmp_path}/snaps"', f"{tmp_path}/snaps/my.solver"),
        (f'snapshot_prefix: "{tmp_path}/snaps/a"', f"{tmp_path}/snaps/a"),
    ]:
        path.write_text(written)
        assert text.read_solver(path).snapshot_prefix == expected


def test_nets_inside_a_solver_are_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "s.prototxt"
    path.write_text(
        'net_param { input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 layers { name: "c" type: CROP } }'
    )
    net = text.read_solver(path).net_param
    assert [layer.type for layer in net.layer] == ["Input", "Crop"]
    assert net.crop_aligns


# ------------------------------------------------------------------------------------------------------------------ V1


def test_every_v1_type_has_a_name() -> None:
    for value in caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values:
        name = upgrade.layer_type(value.number)
        assert bool(name) == (value.name != "NONE")
        assert name.lower() == {"SOFTMAX_LOSS": "softmaxwithloss", "NONE": ""}.get(
            value.name, value.name.replace("_", "").lower()
        )
    assert upgrade.layer_type(777) == ""


# ------------------------------------------------------------------------------------------------------------------ V2


def test_input_shapes() -> None:
    net = upgraded('layer { name: "a" } input: "x" input: "y" input_shape { dim: 1 dim: 2 } input_shape { dim: 3 }')
    assert [layer.name for layer in net.layer] == ["input", "a"]
    assert list(net.layer[0].top) == ["x", "y"]
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [[1, 2], [3]]
    assert not len(net.input) + len(net.input_shape) + len(net.input_dim)
    with pytest.raises(CaffeError, match="1 input fields need 4 input_dim fields, found 3"):
        upgraded('input: "x" input_dim: 1 input_dim: 2 input_dim: 3')
    with pytest.raises(CaffeError, match="2 input fields need 2 input_shape fields, found 1"):
        upgraded('input: "x" input: "y" input_shape { dim: 1 }')


def test_batch_norm_blobs_are_no_solvers_business() -> None:
    net = upgraded(
        'layer { type: "BatchNorm" param { lr_mult: 1 name: "m" } param { } param { decay_mult: 1 } }'
        'layer { type: "BatchNorm" param { lr_mult: 1 } }'
    )
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[0].param] == [(0, 0)] * 3
    assert net.layer[0].param[0].name == "m"
    assert net.layer[1].param[0].lr_mult == 1


def test_both_kinds_of_layers_in_one_net(caplog: pytest.LogCaptureFixture) -> None:
    net = upgraded('layer { name: "new" } layer { name: "newer" } layers { name: "old" type: RELU }')
    assert [layer.name for layer in net.layer] == ["old"]
    assert "these will be ignored for the upgrade. Left out: new, newer." in caplog.text


def test_a_type_that_names_its_library() -> None:
    for written, meant in (
        ("RobustLogLikelihoodLoss of libloss.so (load it first)", "RobustLogLikelihoodLoss"),
        ("Nobodys of libnobody.so", "Nobodys of libnobody.so"),
        ("ReLU", "ReLU"),
    ):
        assert upgraded(f'layer {{ type: "{written}" }}').layer[0].type == meant
