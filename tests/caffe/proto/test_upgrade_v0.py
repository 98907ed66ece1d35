"""Nets of 2013 that genuine Caffe refuses, or only half understands; those that it takes are in test_upgrade."""

from __future__ import annotations

import logging

import pytest
from support.caffe.prototxts import upgraded

from caffe.errors import CaffeError
from caffe.proto import upgrade_v0


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


def test_type_names() -> None:
    assert upgrade_v0.layer_type("innerproduct") == 14
    with pytest.raises(CaffeError, match="Unknown layer name: InnerProduct"):
        upgrade_v0.layer_type("InnerProduct")
