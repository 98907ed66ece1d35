"""The published networks: their layers' names, rates and crops."""

from __future__ import annotations

import pytest
from support.crfasrnn.prototxts import committed, coordinate_maps, layer

PUBLISHED = [
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7", "score-fr"),
    *("score2", "score-pool4", "score4", "score-pool3", "upsample", "inference1"),
]


def test_published_parameter_layers_by_name_and_order() -> None:
    net = committed("voc21/crfrnn_deploy.prototxt")
    kinds = {"Convolution", "Deconvolution", "MultiStageMeanfield"}
    assert [entry.name for entry in net.layer if entry.type in kinds] == PUBLISHED
    assert len(PUBLISHED) == 22


def test_published_learning_rates() -> None:
    net = committed("voc21/crfrnn_train.prototxt")
    for name in ("conv1_1", "fc6", "score-fr", "score2", "score-pool3"):
        assert [(p.lr_mult, p.decay_mult) for p in layer(net, name).param] == [(1, 1), (2, 0)]
    assert [p.lr_mult for p in layer(net, "score4").param] == [1]
    assert [p.lr_mult for p in layer(net, "upsample").param] == [0]
    assert [p.lr_mult for p in layer(net, "inference1").param] == [10000, 10000, 1000]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc21/fcn32s_deploy", {"coarse": 19}),
        ("voc21/fcn16s_deploy", {"score-pool4c": 5, "coarse": 27}),
        ("voc21/fcn8s_deploy", {"score-pool4c": 5, "score-pool3c": 9, "coarse": 31}),
        ("voc21/crfrnn_deploy", {"score-pool4c": 5, "score-pool3c": 9, "coarse": 31}),
    ],
)
def test_crops_cut_where_the_pixels_coincide(name: str, expected: dict[str, int]) -> None:
    net = committed(f"{name}.prototxt")
    _, offsets = coordinate_maps(net)
    written = {entry.top[0]: entry.crop_param.offset[0] for entry in net.layer if entry.type == "Crop"}
    assert written == expected
    assert offsets == expected
