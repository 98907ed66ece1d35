"""Labels that are no class: the message names the layer, the value and where it came from."""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
import pytest
from support.caffe.layer_errors import net_with

import caffe
from caffe.errors import CaffeError
from caffe.io import array_to_datum

pytestmark = pytest.mark.usefixtures("compute")


@pytest.mark.parametrize(
    ("layer", "label", "message"),
    [
        ('type: "SoftmaxWithLoss"', 3, r"label 3 at position \(1, 2\) .*not in 0..2; no ignore_label is set"),
        (
            'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }',
            -1,
            r"label -1 at position \(1, 2\) .*not the ignore label 255",
        ),
        ('type: "SoftmaxWithLoss"', np.nan, r"label nan at position \(1, 2\)"),
        ('type: "Accuracy"', 7, r"label 7 at position \(1, 2\)"),
    ],
)
def test_labels_outside_the_classes_are_named(layer: str, label: float, message: str) -> None:
    net = net_with([(2, 3, 4), (2, 4)], layer)
    net.blobs["in1"].data[1, 2] = label
    with pytest.raises(caffe.CaffeError, match=message):
        net.forward()


NET = """
layer {{ name: "data" type: "Data" top: "data" data_param {{ source: "{0}/images" backend: LMDB batch_size: 1 }} }}
layer {{ name: "label" type: "Data" top: "label" data_param {{ source: "{0}/labels" backend: LMDB batch_size: 1 }} }}
layer {{ name: "score" type: "Convolution" bottom: "data" top: "score" convolution_param {{ num_output: 7 kernel_size: 1 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" loss_param {{ ignore_label: 255 }} }}
"""


def write(folder: Path, arrays: list[np.ndarray]) -> None:
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as transaction:
        for i, array in enumerate(arrays):
            transaction.put(f"2007_{i:06d}".encode(), array_to_datum(array).SerializeToString())


def test_message_names_image_and_value(tmp_path: Path) -> None:
    labels = [np.zeros((1, 4, 5), np.uint8) for _ in range(2)]
    labels[0][0, 1, 2] = 255
    labels[1][0, 3, 4] = 15
    write(tmp_path / "images", [np.full((3, 4, 5), 9, np.uint8)] * 2)
    write(tmp_path / "labels", labels)
    (tmp_path / "net.prototxt").write_text(NET.format(tmp_path))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.forward()
    with pytest.raises(CaffeError) as caught:
        net.forward()
    for words in (
        "layer 'loss'",
        "label 15 at position (0, 0, 3, 4)",
        "0..6",
        "ignore label 255",
        "'2007_000001'",
        "labels",
    ):
        assert words in str(caught.value)
