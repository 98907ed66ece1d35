"""Networks of ours in genuine Caffe with the plugin: the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import skimage.data
from support.crfasrnn.refiner_nets import gru_net, scene
from support.genuine_caffe import STOCK, Genuine, error, run
from support.reference_data import shared_path

import caffe
from caffe.proto.text import parse_net, to_text
from crfasrnn.classes import MEAN_BGR
from crfasrnn.networks import prototxts as catalogue
from crfasrnn.networks.weight_files import convert_trunk


def test_deeplab_with_crfrnn(genuine: Genuine, tmp_path: Path) -> None:
    """The 21-class network with its CRF, on an image whose size is no multiple of anything."""
    weights = shared_path("weights", "deeplabv3_mobilenetv2_voc21.npz")
    convert_trunk(weights, tmp_path / "deeplab.caffemodel.h5")
    definition = parse_net(catalogue.files()["deeplab/crfrnn_deploy.prototxt"])
    definition.layer[0].input_param.shape[0].dim[2:] = (150, 203)
    net = caffe.Net(definition, caffe.TEST)
    net.copy_from(str(tmp_path / "deeplab.caffemodel.h5"))
    photograph = skimage.data.cat()[:150, 100:303, ::-1]
    net.blobs["data"].data[...] = (photograph - np.array(MEAN_BGR)).transpose(2, 0, 1)
    net.forward()

    (tmp_path / "ours.prototxt").write_text(to_text(definition))
    run(*STOCK, "ours.prototxt", "stock.prototxt", cwd=tmp_path)
    # The Caffe of the tests is older than Clip, and has this instead.
    text = (tmp_path / "stock.prototxt").read_text()
    text, clips = re.subn(r"clip_param \{[^}]*\}", "", text.replace('type: "Clip"', 'type: "ReLU6"'))
    assert clips == 34
    (tmp_path / "stock.prototxt").write_text(text)
    np.asarray(net.blobs["data"].data, np.float32).tofile(tmp_path / "data.data")
    for name, blobs in net.params.items():
        for index, part in enumerate(blobs):
            np.asarray(part.data, np.float32).tofile(tmp_path / f"data.{name}.{index}")
    genuine.program("run_net", "stock.prototxt", "TEST", tmp_path, cwd=tmp_path)
    for name in ("logits_semantic", "coarse", "pred"):
        expected = np.asarray(net.blobs[name].data).reshape(-1)
        difference = error(np.fromfile(tmp_path / f"data.{name}", np.float32), expected)
        print(f"{name}: relative error {difference:.1e}")
        assert difference < 1e-4


def test_gru_in_the_crfs_place(genuine: Genuine, tmp_path: Path) -> None:
    """Nothing but Caffe's own layers, forward and backward, with weights that all iterations share; without the plugin, too."""
    net = caffe.Net(gru_net(4, 3, 37, 50), caffe.TRAIN)
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            if blob.data.shape[-2:] != (4, 4):  # the upsampling is fixed
                blob.data[...] += 0.02 * rng.normal(size=blob.data.shape)
    arrays = scene(4, 37, 50)
    for name, values in arrays.items():
        net.blobs[name].data[...] = values
    net.forward()
    net.blobs["pred"].diff[...] = diff = rng.normal(size=net.blobs["pred"].shape)
    net.backward()

    (tmp_path / "net.prototxt").write_text(to_text(gru_net(4, 3, 37, 50)))
    assert "Benchmark ends" in genuine.run(
        "time", "-model", "net.prototxt", "-iterations", "1", cwd=tmp_path, preload=""
    )
    for name, values in arrays.items():
        values.astype(np.float32).tofile(tmp_path / f"data.{name}")
    diff.astype(np.float32).tofile(tmp_path / "diff.pred")
    for name, blobs in net.params.items():
        for index, part in enumerate(blobs):
            np.asarray(part.data, np.float32).tofile(tmp_path / f"data.{name}.{index}")
    genuine.program("run_net", "net.prototxt", "TRAIN", tmp_path, cwd=tmp_path)
    ours = {"data.pred": net.blobs["pred"].data, "diff.scores": net.blobs["scores"].diff}
    for layer in ("gru_side", "gru_renewal", "gru1_side_own", "gru1_same_window", "gru1_other_mixed"):
        ours[f"diff.{layer}.0"] = net.params[layer][0].diff
    for name, expected in ours.items():
        difference = error(np.fromfile(tmp_path / name, np.float32), np.asarray(expected).reshape(-1))
        print(f"{name}: relative error {difference:.1e}")
        assert difference < 1e-3, name
