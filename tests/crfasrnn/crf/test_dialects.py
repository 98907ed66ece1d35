"""The nets and models of the CRF-RNN forks become nets of the newest form, and Crop layers in them align themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.caffe.prototxts import upgraded
from support.reference_data import REPOSITORY

from caffe.proto import caffe_pb2, upgrade
from crfasrnn.crf.dialects import PLUGIN_TYPE


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


def test_the_type_that_names_the_plugin() -> None:
    net = upgraded(f'layer {{ name: "crf" type: "{PLUGIN_TYPE}" }}')
    assert net.layer[0].type == "MultiStageMeanfield"
    assert net.crop_aligns


def test_the_meanfield_layer_has_the_forks_fields() -> None:
    fields = {f.name: f.number for f in caffe_pb2.MultiStageMeanfieldParameter.DESCRIPTOR.fields}
    assert fields == {
        "compatibility_mode": 1,
        "threshold": 2,
        "theta_alpha": 3,
        "theta_beta": 4,
        "theta_gamma": 5,
        "num_iterations": 6,
        "spatial_filter_weight": 7,
        "bilateral_filter_weight": 8,
        "forced_spatial_filter_weight": 9,
        "forced_bilateral_filter_weight": 10,
        "spatial_filter_weights_str": 19,
        "bilateral_filter_weights_str": 20,
        "force_cpu": 29,
        # Ours, where no fork has numbers.
        "kernel_weights": 100,
        "symmetric_compatibility": 101,
        "activation": 102,
        "untied": 103,
        "learn_bandwidths": 104,
        "bilateral": 105,
    }
    empty = caffe_pb2.MultiStageMeanfieldParameter()
    assert empty.IsInitialized()
    assert (empty.theta_alpha, empty.theta_beta, empty.theta_gamma, empty.num_iterations) == (10, 10, 10, 1)
    assert (empty.spatial_filter_weight, empty.bilateral_filter_weight) == (1, 1)
    assert caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["multi_stage_meanfield_param"].number == 1000


def test_the_plugin_for_caffe_has_the_same_options() -> None:
    folder = REPOSITORY / "caffe_layers" / "bvlc"
    done = subprocess.run(
        [sys.executable, folder / "options_schema.py"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == (folder / "options_schema.inc").read_text(), "run `make proto`"
