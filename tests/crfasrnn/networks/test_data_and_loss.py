"""What the nets read is what the databases hold, and which loss is taken over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from support.crfasrnn.training import databases

import caffe
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.datasets.databases import IMAGES, LABELS, read_database
from crfasrnn.networks import data_and_loss


def test_images_come_minus_the_mean_with_their_labels(tmp_path: Path) -> None:
    folder = databases(tmp_path) / "val"
    n = NetSpec()
    data_and_loss.lmdb_input(n, str(folder))
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(n.to_proto()))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    mean = np.float32([103.939, 116.779, 123.68])[:, None, None]  # BGR
    for (_, image), (_, labels) in zip(read_database(folder / IMAGES), read_database(folder / LABELS)):
        net.forward()
        np.testing.assert_allclose(net.blobs["data"].data[0], image - mean, atol=1e-4)
        np.testing.assert_array_equal(net.blobs["label"].data[0], labels)


@pytest.mark.parametrize("normalize", [False, True])
def test_void_pixels_do_not_count(tmp_path: Path, normalize: bool) -> None:
    n = NetSpec()
    n.scores = L.Input(shape={"dim": [1, 3, 4, 5]})
    n.label = L.Input(shape={"dim": [1, 1, 4, 5]})
    data_and_loss.loss(n, n.scores, normalize)
    data_and_loss.accuracy(n, n.scores)
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(n.to_proto()))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(3, 4, 5)), rng.choice([0, 1, 2, 255], (4, 5))
    net.blobs["scores"].data[0], net.blobs["label"].data[0, 0] = scores, labels
    found = net.forward()
    known = labels != 255
    assert 0 < known.sum() < 20
    logs = scores - np.log(np.exp(scores).sum(0))
    true = np.take_along_axis(logs, np.where(known, labels, 0)[None], 0)[0][known]
    assert found["loss"] == pytest.approx(-true.sum() / (known.sum() if normalize else 1), rel=1e-5)
    assert found["accuracy"] == pytest.approx((scores.argmax(0) == labels)[known].mean())


def test_a_deploy_net_starts_at_the_given_size() -> None:
    n = NetSpec()
    data_and_loss.deploy_input(n, 30, 40)
    assert list(n.to_proto().layer[0].input_param.shape[0].dim) == [1, 3, 30, 40]
