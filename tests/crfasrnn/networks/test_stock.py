"""Nets for unpatched Caffe hold what ours do, in fields that its schema has."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from support.crfasrnn.refiner_nets import COMMON, NET

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.text import parse_net, read_net
from crfasrnn.networks.stock import convert_prototxt, to_stock

OURS = NET.format(width=6, options=f"multi_stage_meanfield_param {{ {COMMON} untied: true }}")


def test_options_move_into_a_field_that_stock_caffe_has(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(OURS)
    convert_prototxt(tmp_path / "net.prototxt", tmp_path / "stock.prototxt")
    stock = text_format.Parse((tmp_path / "stock.prototxt").read_text(), caffe_pb2.NetParameter())
    layer = stock.layer[-1]
    assert not layer.HasField("multi_stage_meanfield_param")
    assert layer.type.startswith("MultiStageMeanfield of libcrfrnn_caffe.so")
    options = text_format.Parse(layer.python_param.param_str, caffe_pb2.MultiStageMeanfieldParameter())
    assert options == read_net(tmp_path / "net.prototxt").layer[-1].multi_stage_meanfield_param


def test_nets_that_genuine_caffe_would_compute_differently_are_refused(tmp_path: Path) -> None:
    crop = 'layer { name: "cut" type: "Crop" bottom: "u" bottom: "d" top: "c" }'
    (tmp_path / "net.prototxt").write_text(OURS + crop)
    with pytest.raises(CaffeError, match="layer 'cut': genuine Caffe does not align crops by itself"):
        convert_prototxt(tmp_path / "net.prototxt", tmp_path / "stock.prototxt")
    assert not (tmp_path / "stock.prototxt").exists()
    aligned = parse_net(OURS + crop.replace('top: "c"', 'top: "c" crop_param { axis: 2 offset: 0 }'), "net")
    to_stock(aligned)
    assert aligned.layer[-1].crop_param.axis == 2
