"""extract_features beside what the net computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.caffe.image_sets import convert, datums

import caffe
from caffe.tools import extract_features


def test_features_are_what_the_net_computes(photos: Path) -> None:
    convert(photos, "-resize_width=6", "-resize_height=5")
    definition = photos.parent / "net.prototxt"
    definition.write_text(
        f"""layer {{ name: "data" type: "Data" top: "data" top: "label"
          data_param {{ source: "{photos.parent}/db" batch_size: 3 }} }}
        layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param {{ num_output: 2 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}"""
    )
    caffe.set_random_seed(0)
    net = caffe.Net(str(definition), caffe.TEST)
    net.save(photos.parent / "net.caffemodel")
    targets = [photos.parent / "features", photos.parent / "labels"]
    words = [
        str(photos.parent / "net.caffemodel"),
        str(definition),
        "conv,label",
        ",".join(map(str, targets)),
        "2",
        "lmdb",
    ]
    assert extract_features.main(words) == 0
    expected = []
    for _ in range(2):
        net.forward()
        expected += [(net.blobs["conv"].data[k].copy(), net.blobs["label"].data[k]) for k in range(3)]
    conv, labels = datums(targets[0]), datums(targets[1])
    assert [key for key, _ in conv] == [f"{k:010d}" for k in range(6)]
    for (values, label), (_, feature), (_, its_label) in zip(expected, conv, labels, strict=True):
        assert (feature.channels, feature.height, feature.width) == (2, 3, 4)
        np.testing.assert_array_equal(np.array(feature.float_data, np.float32).reshape(2, 3, 4), values)
        assert list(its_label.float_data) == [label]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b", "x,y", "out", "1", "lmdb"], "must be equal"),
        (["a", "b", "x", "out", "none", "lmdb"], "num_mini_batches"),
        (["a", "b", "x", "out", "1", "lmdb", "TPU"], "CPU or GPU"),
        (["a", "b", "x", "out", "1", "lmdb"], "b: no such file"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(extract_features.main, words)
