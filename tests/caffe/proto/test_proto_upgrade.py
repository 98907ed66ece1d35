"""Nets and solvers of every age and fork become the same net; what genuine Caffe made of them is the truth."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from support.reference_data import TESTS

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, text, upgrade

EXTRAS = TESTS / "golden" / "extras"


def upgraded(content: str) -> Any:
    return text.parse_net(content, source="net.prototxt")


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


# ------------------------------------------------------------------------------------------------------------------ V0, V1


def test_padding_layers_that_cannot_be_merged() -> None:
    padding = (
        'input: "d" input_shape { dim: 1 } layers { layer { name: "p" type: "padding" pad: 1 } bottom: "d" top: "p" }'
    )
    with pytest.raises(CaffeError, match=r"non-pooling layer type relu \(layer r\)"):
        upgraded(padding + 'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }')
    with pytest.raises(CaffeError, match="Unknown blob input q to layer c"):
        upgraded(padding + 'layers { layer { name: "c" type: "conv" } bottom: "q" top: "c" }')
    with pytest.raises(CaffeError, match=r"^net.prototxt: Unknown layer name: frob"):
        upgraded(padding + 'layers { layer { name: "c" type: "frob" } bottom: "d" top: "c" }')


def test_v0_data_layers_and_strange_fields(caplog: pytest.LogCaptureFixture) -> None:
    net = upgraded(
        'layers { layer { name: "w" type: "window_data" source: "w.txt" meanfile: "m" batchsize: 2 cropsize: 9 mirror: true'
        ' det_fg_threshold: 0.6 det_context_pad: 3 det_crop_mode: "square" } top: "d" top: "l" }'
        'layers { layer { name: "r" type: "relu" num_output: 3 } bottom: "d" top: "d" }'
    )
    window, transform = net.layer[0].window_data_param, net.layer[0].transform_param
    assert (window.source, window.batch_size, window.context_pad, window.crop_mode) == ("w.txt", 2, 3, "square")
    assert (transform.mean_file, transform.crop_size, transform.mirror) == ("m", 9, True)
    assert not window.HasField("mean_file")
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0] == "Unknown parameter num_output for layer type relu"
    assert "continuing anyway" in errors[1]


def test_every_v1_type_has_a_name() -> None:
    for value in caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values:
        name = upgrade.layer_type(value.number)
        assert bool(name) == (value.name != "NONE")
        assert name.lower() == {"SOFTMAX_LOSS": "softmaxwithloss", "NONE": ""}.get(
            value.name, value.name.replace("_", "").lower()
        )
    assert upgrade.layer_type(777) == ""


def test_the_forks_2015_dialect() -> None:
    net = upgraded(
        """input: 'data' input_dim: 1 input_dim: 3 input_dim: 500 input_dim: 500 force_backward: true
        layers { bottom: 'bigscore' bottom: 'data' top: 'coarse' name: 'crop' type: CROP }
        layers { name: "inference1" type: MULTI_STAGE_MEANFIELD bottom: "unary" bottom: "Q0" bottom: "data" top: "pred"
          blobs_lr: 10000 blobs_lr: 10000 blobs_lr: 1000 weight_decay: 0 weight_decay: 0 weight_decay: 0
          multi_stage_meanfield_param { num_iterations: 10 compatibility_mode: POTTS threshold: 2 theta_alpha: 160 theta_beta: 3
            theta_gamma: 3 spatial_filter_weight: 3 bilateral_filter_weight: 5 } }"""
    )
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ("input", "Input"),
        ("crop", "Crop"),
        ("inference1", "MultiStageMeanfield"),
    ]
    assert net.crop_aligns
    assert net.force_backward
    layer = net.layer[2]
    assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(10000, 0), (10000, 0), (1000, 0)]
    parameters = layer.multi_stage_meanfield_param
    assert (parameters.num_iterations, parameters.theta_alpha, parameters.bilateral_filter_weight) == (10, 160, 5)


def test_crops_align_in_nets_with_a_meanfield_layer_only() -> None:
    crop = 'layer { name: "c" type: "Crop" bottom: "a" bottom: "b" top: "c" }'
    assert not upgraded(crop).crop_aligns
    net = upgraded(
        crop
        + 'layer { type: "MultiStageMeanfield" multi_stage_meanfield_param { spatial_filter_weights_str: "3 3" force_cpu: true } }'
    )
    assert net.crop_aligns
    assert net.layer[1].multi_stage_meanfield_param.spatial_filter_weights_str == "3 3"


@pytest.mark.parametrize("field", ["recurrent_param", "swish_param"])
def test_meanfield_parameters_at_the_forks_numbers(field: str) -> None:
    """Where BVLC has another message, its parser keeps what does not fit: nothing may be lost on the way to field 1000."""
    original = caffe_pb2.MultiStageMeanfieldParameter(
        compatibility_mode=0,
        threshold=2,
        theta_alpha=160,
        theta_beta=3,
        theta_gamma=3.5,
        num_iterations=10,
        spatial_filter_weight=3,
        bilateral_filter_weight=5,
        forced_spatial_filter_weight=1,
    )
    number = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[field].number
    content = original.SerializeToString()
    tag = number << 3 | 2
    raw = bytes([tag & 0x7F | 0x80, tag >> 7, len(content)]) + content
    net = caffe_pb2.NetParameter()
    net.layer.add(name="inference1", type="MultiStageMeanfield").MergeFromString(raw)
    net.layer.add(name="lstm", type="LSTM").recurrent_param.num_output = 4
    upgrade.upgrade_net(net, "old.caffemodel")
    assert net.layer[0].multi_stage_meanfield_param == original
    assert not net.layer[0].HasField(field)
    assert net.layer[1].recurrent_param.num_output == 4


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
    net = upgraded('layer { name: "new" } layers { name: "old" type: RELU }')
    assert [layer.name for layer in net.layer] == ["old"]
    assert any("these will be ignored for the upgrade" in record.getMessage() for record in caplog.records)
