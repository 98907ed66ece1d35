"""Losses over classes: matrices from files and other axes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.caffe.layer_options import LABELS, MATRIX, SCORES, run
from support.caffe.layers import build, random

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_infogain_reads_its_matrix_from_a_file(tmp_path: Path) -> None:
    matrix = np.abs(random(3, 3))
    (tmp_path / "H.binaryproto").write_bytes(caffe.io.array_to_blobproto(matrix[None, None]).SerializeToString())
    net = build(
        f"""layer {{ name: "x" type: "Input" top: "x" top: "t" input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
            layer {{ name: "l" type: "InfogainLoss" bottom: "x" bottom: "t" top: "loss"
                     infogain_loss_param {{ source: "{tmp_path / "H.binaryproto"}" }} }}"""
    )
    x = random(2, 3)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = x, [1, 2]
    net.forward()
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    np.testing.assert_allclose(net.blobs["loss"].data, -(matrix[[1, 2]] * log_p).sum() / 2, rtol=1e-5)


def test_a_log_of_nothing_is_cut_at_the_smallest_float() -> None:
    net = build(
        """force_backward: true
           layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 1 dim: 2 } shape { dim: 1 } } }
           layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" }"""
    )
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[0, 1000]], [0]
    net.forward()
    assert net.blobs["loss"].data == pytest.approx(-math.log(np.finfo(np.float32).tiny))
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, [[-1, 1]])


def test_infogain_axis() -> None:
    layer = 'layer {{ type: "InfogainLoss" bottom: "s" bottom: "y" bottom: "h" top: "l" infogain_loss_param {{ axis: {} }} }}'
    matrix = MATRIX[None, None]
    first = run(layer.format(1), {"s": SCORES, "y": LABELS, "h": matrix})["l"]
    last = run(layer.format(2), {"s": SCORES.transpose(0, 2, 1), "y": LABELS, "h": matrix})["l"]
    assert first == pytest.approx(last)
    logs = SCORES - np.log(np.exp(SCORES).sum(1, keepdims=True))
    rows = MATRIX[LABELS.astype(int)].transpose(0, 2, 1)
    assert first == pytest.approx(-(rows * logs).sum() / LABELS.size, rel=1e-5)
