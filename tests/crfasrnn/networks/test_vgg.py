"""The trunk: thirteen convolutions of the published shapes, five poolings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

import caffe
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.networks import vgg


def trunk(rows: int, columns: int, **options: Any) -> Any:
    """The trunk behind an image of that size."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, rows, columns]})
    vgg.trunk(n, n.data, **options)
    return n.to_proto()


def test_it_has_the_parameters_of_vgg_16(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(trunk(40, 33)))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert len(net.params) == 13
    assert sum(blob.count for blobs in net.params.values() for blob in blobs) == 14_714_688  # VGG-16's less fc6 to fc8
    # Sizes are rounded up at each of the five poolings.
    assert net.blobs["pool5"].shape == (1, 512, 2, 2)


def test_frozen_blocks_and_narrow_ones() -> None:
    layers = {layer.name: layer for layer in trunk(40, 40, frozen=(1, 3), width=0.01, first_pad=100).layer}
    for name, layer in layers.items():
        if layer.type == "Convolution":
            rates = [param.lr_mult for param in layer.param]
            assert rates == ([0, 0] if name[4] in "13" else [1, 2])
            assert layer.convolution_param.num_output == max(1, round(0.01 * 2 ** min(5 + int(name[4]), 9)))
            assert list(layer.convolution_param.pad) == [100 if name == "conv1_1" else 1]


def test_biases_do_not_decay() -> None:
    assert vgg.learning(3, 6) == [{"lr_mult": 3, "decay_mult": 1}, {"lr_mult": 6, "decay_mult": 0}]
    assert vgg.learning(0) == [{"lr_mult": 0, "decay_mult": 0}]
