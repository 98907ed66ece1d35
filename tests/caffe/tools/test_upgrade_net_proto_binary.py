"""upgrade_net_proto_binary: all weights come along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.reference_data import FILES

from caffe.proto import caffe_pb2, model_file
from caffe.tools import upgrade_net_proto_binary


def test_old_weights_are_upgraded_with_their_net(tmp_path: Path) -> None:
    source, target = FILES / "tiny_init_V1_legacyshape.caffemodel", tmp_path / "new.caffemodel"
    assert upgrade_net_proto_binary.main([str(source), str(target)]) == 0
    net = caffe_pb2.NetParameter.FromString(target.read_bytes())
    assert not net.layers
    assert all(layer.type for layer in net.layer)
    before, after = model_file.read_model(source), model_file.read_model(target)
    assert [layer.name for layer in before] == [layer.name for layer in after]
    for old, new in zip(before, after):
        for a, b in zip(old.blobs, new.blobs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bad.txt", "out"], "bad.txt"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    words: list[str], message: str, complaint: Callable[[Callable[[list[str]], int], list[str]], str]
) -> None:
    assert message in complaint(upgrade_net_proto_binary.main, words)
