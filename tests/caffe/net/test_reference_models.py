"""Model files that genuine Caffe wrote, in their nets: blobs against the schema's own parser, outputs after saving again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.reference_data import shared_path

import caffe
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def parsed_blobs(path: Path) -> dict[str, list[np.ndarray]]:
    """Layer name -> flat parameter arrays, as protobuf reads them."""
    message = caffe_pb2.NetParameter.FromString(path.read_bytes())
    layers = list(message.layer) or list(message.layers)
    return {layer.name: [np.array(blob.data, np.float32) for blob in layer.blobs] for layer in layers if layer.blobs}


def photographs() -> np.ndarray:
    """Ten 32 x 32 pieces of a real photograph, minus a mean, as the CIFAR net reads them."""
    image = cv2.imread(str(shared_path("caffemodels", "enet_cityscapes", "strasbourg_000001_033027.jpg")))
    pieces = [image[y : y + 320 : 10, x : x + 320 : 10] for y in (0, 400) for x in range(0, 1500, 300)]
    return np.stack(pieces).transpose(0, 3, 1, 2).astype(np.float32) - 120


@pytest.mark.parametrize("name", ["cifar_v1_2014", "cifar_v2"])
def test_every_blob_arrives(name: str) -> None:
    folder = shared_path("caffemodels", name)
    weights = folder / "cifar10_full_iter_70000.caffemodel"
    net = caffe.Net(str(folder / "cifar10_full.prototxt"), str(weights), caffe.TEST)
    expected = parsed_blobs(weights)
    assert list(net.params) == list(expected)
    for layer, blobs in expected.items():
        for ours, theirs in zip(net.params[layer], blobs, strict=True):
            np.testing.assert_array_equal(ours.data.ravel(), theirs)


def test_both_generations_are_the_same_net() -> None:
    scores = []
    for name in ("cifar_v1_2014", "cifar_v2"):
        folder = shared_path("caffemodels", name)
        net = caffe.Net(str(folder / "cifar10_full.prototxt"), caffe.TEST)
        net.copy_from(str(shared_path("caffemodels", "cifar_v2", "cifar10_full_iter_70000.caffemodel")))
        scores.append(net.forward_all(data=photographs())["prob"])
    np.testing.assert_array_equal(scores[0], scores[1])
    assert scores[0].std() > 0.01


def test_v1_file_saved_again_gives_the_same_bits(tmp_path: Path) -> None:
    folder = shared_path("caffemodels", "cifar_v1_2014")
    prototxt = str(folder / "cifar10_full.prototxt")
    first = caffe.Net(prototxt, str(folder / "cifar10_full_iter_70000.caffemodel"), caffe.TEST)
    expected = first.forward_all(data=photographs())["prob"]
    first.save(str(tmp_path / "v2.caffemodel"))
    first.save_hdf5(str(tmp_path / "v2.caffemodel.h5"))
    assert caffe_pb2.NetParameter.FromString((tmp_path / "v2.caffemodel").read_bytes()).layer
    for path in tmp_path.iterdir():
        again = caffe.Net(prototxt, str(path), caffe.TEST)
        np.testing.assert_array_equal(again.forward_all(data=photographs())["prob"], expected)


def test_net_of_a_fork_is_refused_by_its_layer_type() -> None:
    path = shared_path("caffemodels", "enet_cityscapes", "enet_deploy_final.prototxt")
    with pytest.raises(CaffeError, match=r"Unknown layer type: BN \(layer 'bn0_1'\).*register_layer") as caught:
        caffe.Net(str(path), caffe.TEST)
    assert f"{path}:65:" in str(caught.value)
